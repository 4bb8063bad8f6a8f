#include "cli/tcp_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

/* Of include/net/tcp_states.h, which is part of the file's format. */
static bool is_in_use(unsigned state)
{
    enum { ESTABLISHED = 1, SYN_SENT, SYN_RECV, CLOSE_WAIT = 8, LISTEN = 10, NEW_SYN_RECV = 12 };
    return state == ESTABLISHED || state == SYN_SENT || state == SYN_RECV || state == CLOSE_WAIT ||
           state == LISTEN || state == NEW_SYN_RECV;
}

enum err_code tcp_table_count(const char *path, uid_t except, unsigned *count, struct err *err)
{
    char line[512];
    FILE *table = fopen(path, "re");
    if (!table)
        return err_sys(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM, errno, "open %s", path);
    while (fgets(line, sizeof line, table)) {
        unsigned state, uid;
        /* "0: 0100007F:3A98 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1337 ..." */
        if (sscanf(line, " %*u: %*64[0-9A-Fa-f]:%*x %*64[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %u",
                   &state, &uid) == 2 &&
            is_in_use(state) && uid != except)
            (*count)++;
    }
    bool failed = ferror(table) != 0;
    fclose(table);
    return failed ? err_set(err, ERR_SYSTEM, "%s cannot be read", path) : ERR_OK;
}
