#include "cli/tcp_table.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "suite.h"

static char path[] = "/tmp/handfast-tcp-table-XXXXXX";

static unsigned count_in(const char *text, uid_t except)
{
    unsigned count = 0;
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
    CU_ASSERT_EQUAL(tcp_table_count(path, except, &count, NULL), ERR_OK);
    return count;
}

#define HEAD                                                                                       \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "  \
    "inode\n"
#define ROW(state, uid)                                                                            \
    "   0: 0100007F:3A98 00000000:0000 " state " 00000000:00000000 00:00000000 00000000  " uid     \
    "        0 12345 1 0000000000000000 100 0 0 10 0\n"
#define ROW6(state, uid)                                                                           \
    "  12: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 " state     \
    " 00000000:00000000 02:000AF0C5 00000000  " uid "        0 12345 1 0000000000000000 20\n"

static void sockets_that_others_use_are_counted(void)
{
    CU_ASSERT_EQUAL(count_in(HEAD, 1337), 0);
    CU_ASSERT_EQUAL(count_in(HEAD ROW("0A", "1000") ROW("01", "0") ROW("08", "65534"), 1337), 3);
    CU_ASSERT_EQUAL(count_in(HEAD ROW6("0A", "1000") ROW6("02", "0"), 1337), 2);
    CU_ASSERT_EQUAL(count_in(HEAD ROW("0A", "1337") ROW6("01", "1337"), 1337), 0);
}

static void sockets_that_only_wind_up_are_not(void)
{
    CU_ASSERT_EQUAL(count_in(HEAD ROW("06", "0") ROW("04", "0") ROW("05", "0") ROW("09", "0")
                                 ROW("0B", "0") ROW("07", "0"),
                             1337),
                    0);
}

static void the_kernels_own_table_is_read(void)
{
    unsigned after = 0, mine = 0;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    CU_ASSERT_EQUAL(listen(fd, 1), 0);
    /* Others on this machine come and go, so only that it is seen at all can be said. */
    CU_ASSERT_EQUAL(tcp_table_count("/proc/net/tcp", 4242, &after, NULL), ERR_OK);
    CU_ASSERT(after > 0);
    close(fd);
    struct err err = {0};
    CU_ASSERT_EQUAL(tcp_table_count("/nowhere", 0, &mine, &err), ERR_NOT_FOUND);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(sockets_that_others_use_are_counted),
        SUITE_CASE(sockets_that_only_wind_up_are_not),
        SUITE_CASE(the_kernels_own_table_is_read),
        SUITE_END,
    };
    close(mkstemp(path));
    int failed = suite_main("cli.tcp_table", cases, argc, argv);
    unlink(path);
    return failed;
}
