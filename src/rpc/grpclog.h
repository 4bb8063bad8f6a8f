/* gRPC's own log lines, through ours. */
#ifndef RPC_GRPCLOG_H
#define RPC_GRPCLOG_H

/* From now on, for the whole process, a line that gRPC writes is event=grpc: its errors at the
 * level error, except those that say no more than that a connection ended, which go to debug with
 * the rest. Any thread. */
void grpclog_start(void);

#endif
