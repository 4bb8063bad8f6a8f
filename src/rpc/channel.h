/* Settings and file descriptors, alike for both ends of a connection. Only this folder includes it.
 */
#ifndef RPC_CHANNEL_H
#define RPC_CHANNEL_H

#include <grpc/grpc.h>

#include "base/err.h"

enum { CHANNEL_ARGS_MAX = 24 };

struct channel_args {
    grpc_arg list[CHANNEL_ARGS_MAX];
    grpc_resource_quota *quota;
    grpc_channel_args args; /* what gRPC takes; borrows `list` */
};

/* The settings of a client's channel, or of a server's connection. `authority` is borrowed. */
void channel_args_client(struct channel_args *args, const char *authority);
void channel_args_server(struct channel_args *args);
/* When the channel or the connection has been made. */
void channel_args_deinit(struct channel_args *args);

/* ERR_SYSTEM when `fd` is not an open file descriptor. */
enum err_code channel_set_nonblocking(int fd, struct err *err);

#endif
