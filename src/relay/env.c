#include "relay/env.h"

#include <stdlib.h>

enum err_code relay_env_init(struct relay_env *env, struct loop *loop, struct timers *timers,
                             struct err *err)
{
    *env = (struct relay_env){
        .loop = loop, .timers = timers, .user_timeout_ms = RELAY_USER_TIMEOUT_MS};
    env->in = malloc(RELAY_CHUNK_BYTES);
    env->plain = malloc(RELAY_PLAIN_BYTES);
    env->out = malloc(RELAY_OUT_BYTES);
    if (env->in && env->plain && env->out)
        return ERR_OK;
    relay_env_deinit(env);
    return err_set(err, ERR_NO_MEMORY, "no memory for the staging buffers of a loop");
}

void relay_env_deinit(struct relay_env *env)
{
    free(env->in);
    free(env->plain);
    free(env->out);
    *env = (struct relay_env){0};
}
