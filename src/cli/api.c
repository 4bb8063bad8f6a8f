#include "cli/api.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "kube/client.h"

struct api {
    struct loop loop;
    struct timers timers;
    struct relay_env env;
    struct kube_client *client;
    char server[300];
    bool closed;
};

/* --- open and close --------------------------------------------------------------------------- */

static enum err_code find_cluster(struct kube_config *config, const char *kubeconfig,
                                  struct err *err)
{
    char path[PATH_MAX];
    const char *named = getenv("KUBECONFIG"), *home = getenv("HOME");
    if (kubeconfig)
        return kube_config_file(config, kubeconfig, NULL, err);
    if (named && *named) {
        snprintf(path, sizeof path, "%.*s", (int)strcspn(named, ":"), named);
        return kube_config_file(config, path, NULL, err);
    }
    snprintf(path, sizeof path, "%s/.kube/config", home ? home : "");
    if (home && access(path, F_OK) == 0)
        return kube_config_file(config, path, NULL, err);
    if (kube_config_in_cluster(config, err) == ERR_OK)
        return ERR_OK;
    return err_wrap(err, "no --kubeconfig, no KUBECONFIG, no %s, and this is no pod", path);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void on_timers_closed(struct timers *timers)
{
    struct api *api = (struct api *)(void *)((char *)timers - offsetof(struct api, timers));
    api->closed = true;
}

static void run_until(struct api *api, const bool *done)
{
    while (!*done)
        uv_run(&api->loop.uv, UV_RUN_ONCE);
}

static void close_timers(struct api *api)
{
    api->closed = false;
    timers_close(&api->timers, on_timers_closed);
    run_until(api, &api->closed);
}

static enum err_code start_loop(struct api *api, struct err *err)
{
    enum err_code code = loop_init(&api->loop, err);
    if (code != ERR_OK)
        return code;
    code = timers_init(&api->timers, &api->loop, err);
    if (code == ERR_OK) {
        code = relay_env_init(&api->env, &api->loop, &api->timers, err);
        if (code == ERR_OK)
            return ERR_OK;
        close_timers(api);
    }
    loop_deinit(&api->loop);
    return code;
}

static void stop_loop(struct api *api)
{
    relay_env_deinit(&api->env);
    close_timers(api);
    loop_deinit(&api->loop);
}

enum err_code api_open(struct api **out, const char *kubeconfig, struct err *err)
{
    struct kube_config config = {0};
    struct api *api = calloc(1, sizeof *api);
    if (!api)
        return err_set(err, ERR_NO_MEMORY, "no memory for a client of the API server");
    log_set_level(LOG_LEVEL_ERROR); /* what goes wrong is in the answers */
    enum err_code code = find_cluster(&config, kubeconfig, err);
    if (code == ERR_OK && (code = start_loop(api, err)) == ERR_OK) {
        bool v6 = strchr(config.host, ':') != NULL;
        snprintf(api->server, sizeof api->server, "https://%s%s%s:%u", v6 ? "[" : "", config.host,
                 v6 ? "]" : "", config.port);
        code = kube_client_new(&api->client, &api->env, &config, err);
        if (code != ERR_OK)
            stop_loop(api);
    }
    kube_config_deinit(&config);
    if (code != ERR_OK) {
        free(api);
        return code;
    }
    *out = api;
    return ERR_OK;
}

void api_close(struct api *api)
{
    kube_client_close(api->client, on_closed, &api->closed);
    run_until(api, &api->closed);
    stop_loop(api);
    free(api);
}

const char *api_server(const struct api *api)
{
    return api->server;
}

/* --- calls ------------------------------------------------------------------------------------ */

struct waiting {
    bool done;
    struct api_answer *out;
    struct err *err;
};

static void on_answer(const struct kube_answer *answer, const struct err *err, void *arg)
{
    struct waiting *waiting = arg;
    waiting->done = true;
    *waiting->err = *err;
    *waiting->out = (struct api_answer){answer->status, json_incref(answer->body)};
}

enum err_code api_call(struct api *api, const char *method, const char *path,
                       const char *content_type, json_t *body, struct api_answer *out,
                       struct err *err)
{
    struct waiting waiting = {.out = out, .err = err};
    *out = (struct api_answer){0};
    if (!kube_request(api->client, method, path, content_type, body, API_TIMEOUT_MS, on_answer,
                      &waiting, err))
        return err->code;
    run_until(api, &waiting.done);
    return err->code == ERR_OK ? ERR_OK : err_wrap(err, "%s at %s", path, api->server);
}

enum err_code api_get(struct api *api, const char *path, struct api_answer *out, struct err *err)
{
    return api_call(api, "GET", path, NULL, NULL, out, err);
}

enum err_code api_post(struct api *api, const char *path, json_t *body, struct api_answer *out,
                       struct err *err)
{
    return api_call(api, "POST", path, NULL, body, out, err);
}

enum err_code api_put(struct api *api, const char *path, json_t *body, struct api_answer *out,
                      struct err *err)
{
    return api_call(api, "PUT", path, NULL, body, out, err);
}

enum err_code api_patch(struct api *api, const char *path, json_t *body, struct api_answer *out,
                        struct err *err)
{
    return api_call(api, "PATCH", path, "application/merge-patch+json", body, out, err);
}

void api_answer_deinit(struct api_answer *answer)
{
    json_decref(answer->body);
    answer->body = NULL;
}

enum err_code api_refused(const struct api_answer *answer, const char *path, struct err *err)
{
    char said[240];
    bool may_not = answer->status == 401 || answer->status == 403;
    kube_status_message(answer->body, said, sizeof said);
    return err_set(err,
                   answer->status == 404 ? ERR_NOT_FOUND
                   : may_not             ? ERR_PERMISSION
                                         : ERR_RPC_STATUS,
                   "the API server answered %d to %.150s%s%s", answer->status, path,
                   *said ? ": " : "", said);
}

enum err_code api_read(struct api *api, const char *path, json_t **body, struct err *err)
{
    struct api_answer answer;
    enum err_code code = api_get(api, path, &answer, err);
    if (code != ERR_OK)
        return code;
    if (answer.status / 100 != 2)
        code = api_refused(&answer, path, err);
    else if (!answer.body)
        code = err_set(err, ERR_RPC_STATUS, "the answer to %.150s is no JSON", path);
    if (code != ERR_OK) {
        api_answer_deinit(&answer);
        return code;
    }
    *body = answer.body;
    return ERR_OK;
}

/* --- the control plane ------------------------------------------------------------------------ */

enum err_code api_control_pods(struct api *api, const char *ns, json_t **list, struct err *err)
{
    char path[400];
    snprintf(
        path, sizeof path,
        "/api/v1/namespaces/%s/pods?labelSelector=app.kubernetes.io%%2Fname%%3Dhandfast-control",
        ns);
    return api_read(api, path, list, err);
}

enum err_code api_control_get(struct api *api, const char *ns, const char *pod, const char *path,
                              struct api_answer *out, struct err *err)
{
    char *whole = NULL;
    if (asprintf(&whole, "/api/v1/namespaces/%s/pods/%s:15014/proxy%s", ns, pod, path) < 0)
        return err_set(err, ERR_NO_MEMORY, "no memory for a path");
    enum err_code code = api_get(api, whole, out, err);
    free(whole);
    return code;
}
