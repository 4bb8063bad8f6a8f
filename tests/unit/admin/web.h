/* The other end of the HTTP server's tests: sockets without manners. */
#ifndef WEB_H
#define WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Connected, with a deadline of ten seconds on every read; a failure ends the test. */
int web_connect(uint16_t port);
int web_connect_unix(const char *path);
void web_send(int fd, const void *data, size_t len);
/* Everything up to the end, as a string that the caller frees; a reset is an end too. *ended is
 * false when the deadline passed instead (may be NULL). */
char *web_read_all(int fd, bool *ended);
/* One request as text, one answer. */
char *web_ask(uint16_t port, const char *request);
/* The number in the status line, or 0. */
int web_status(const char *answer);
/* What follows the headers, or "". */
const char *web_body(const char *answer);
/* Open file descriptors and threads of this process. */
unsigned web_count_fds(void);
unsigned web_count_threads(void);

#endif
