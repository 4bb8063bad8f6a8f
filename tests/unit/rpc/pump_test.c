/* The pump alone, between two socketpairs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/pump.h"
#include "suite.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
enum { TOTAL_BYTES = 8 * 1024 * 1024 };

struct rig {
    struct loop loop;
    uv_timer_t alive; /* a loop with sockets alone counts as idle */
    struct pump pump;
    int client, grpc; /* the far ends */
    unsigned ends;
    enum err_code why;
};

static struct rig *current;

static void on_too_late(uv_timer_t *timer)
{
    (void)timer;
    abort();
}

static void on_end(struct pump *pump, const struct err *why)
{
    CU_ASSERT_PTR_EQUAL(pump, &current->pump);
    current->ends++;
    current->why = why->code;
}

static void rig_start(struct rig *rig)
{
    int outer[2], inner[2];
    struct err err;
    memset(rig, 0, sizeof *rig);
    current = rig;
    CU_ASSERT_EQUAL_FATAL(loop_init(&rig->loop, &err), ERR_OK);
    uv_timer_init(&rig->loop.uv, &rig->alive);
    uv_timer_start(&rig->alive, on_too_late, 30 * 1000, 0);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, outer), 0);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, inner), 0);
    CU_ASSERT_EQUAL_FATAL(pump_start(&rig->pump, &rig->loop, outer[0], inner[0], on_end, &err),
                          ERR_OK);
    rig->client = outer[1];
    rig->grpc = inner[1];
}

static void rig_turn(struct rig *rig)
{
    uv_run(&rig->loop.uv, UV_RUN_NOWAIT);
}

static void rig_stop(struct rig *rig)
{
    pump_stop(&rig->pump);
    pump_stop(&rig->pump);
    if (rig->client >= 0)
        close(rig->client);
    if (rig->grpc >= 0)
        close(rig->grpc);
    uv_close((uv_handle_t *)&rig->alive, NULL);
    loop_deinit(&rig->loop);
}

static uint8_t byte_at(size_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8));
}

/* Pushes bytes from gRPC's side whenever there is room and takes them out in small pieces. */
static void bytes_arrive_whole_at_a_slow_reader(void)
{
    struct rig rig;
    static uint8_t out[64 * 1024], in[5000];
    size_t sent = 0, received = 0, wrong = 0;
    bool held = false;
    rig_start(&rig);
    while (received < TOTAL_BYTES && !rig.ends) {
        size_t len = TOTAL_BYTES - sent < sizeof out ? TOTAL_BYTES - sent : sizeof out;
        for (size_t i = 0; i < len; i++)
            out[i] = byte_at(sent + i);
        ssize_t wrote = send(rig.grpc, out, len, MSG_NOSIGNAL);
        sent += wrote > 0 ? (size_t)wrote : 0;
        rig_turn(&rig);
        held = held || rig.pump.outer.held;
        ssize_t got = recv(rig.client, in, sizeof in, 0);
        for (ssize_t i = 0; i < got; i++)
            wrong += in[i] != byte_at(received + (size_t)i);
        received += got > 0 ? (size_t)got : 0;
    }
    CU_ASSERT_EQUAL(received, TOTAL_BYTES);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(held); /* otherwise this test has not shown much */
    rig_stop(&rig);
}

static void a_reader_that_stops_stops_the_pump(void)
{
    struct rig rig;
    static const uint8_t out[64 * 1024];
    size_t sent = 0;
    rig_start(&rig);
    for (int i = 0; i < 1000; i++) {
        ssize_t wrote = send(rig.grpc, out, sizeof out, MSG_NOSIGNAL);
        sent += wrote > 0 ? (size_t)wrote : 0;
        rig_turn(&rig);
    }
    CU_ASSERT(sent < 4 * 1024 * 1024); /* socket buffers and one chunk */
    CU_ASSERT_PTR_NOT_NULL(rig.pump.outer.held);
    CU_ASSERT(rig.pump.outer.held_len <= PUMP_CHUNK_BYTES);
    rig_stop(&rig);
}

static void the_last_words_of_grpc_reach_the_client(void)
{
    struct rig rig;
    char in[64] = {0};
    rig_start(&rig);
    CU_ASSERT_EQUAL(send(rig.client, PREFACE, 24, 0), 24);
    CU_ASSERT_EQUAL(send(rig.grpc, "goaway", 6, 0), 6);
    close(rig.grpc);
    rig.grpc = -1;
    while (!rig.ends)
        rig_turn(&rig);
    CU_ASSERT_EQUAL(rig.ends, 1);
    CU_ASSERT_EQUAL(rig.why, ERR_OK);
    CU_ASSERT_EQUAL(recv(rig.client, in, sizeof in, 0), 6);
    CU_ASSERT_STRING_EQUAL(in, "goaway");
    rig_stop(&rig);
}

static void the_client_s_end_ends_grpc_s(void)
{
    struct rig rig;
    char in[64];
    rig_start(&rig);
    CU_ASSERT_EQUAL(send(rig.client, PREFACE, 24, 0), 24);
    close(rig.client);
    rig.client = -1;
    while (!rig.ends)
        rig_turn(&rig);
    CU_ASSERT_EQUAL(rig.why, ERR_OK);
    CU_ASSERT_EQUAL(recv(rig.grpc, in, sizeof in, 0), 24);
    CU_ASSERT(recv(rig.grpc, in, sizeof in, 0) <= 0 && errno != EAGAIN);
    rig_stop(&rig);
}

static void what_the_guard_refuses_does_not_reach_grpc(void)
{
    struct rig rig;
    char in[64];
    rig_start(&rig);
    CU_ASSERT_EQUAL(send(rig.client, PREFACE, 24, 0), 24);
    rig_turn(&rig);
    CU_ASSERT_EQUAL(recv(rig.grpc, in, sizeof in, 0), 24);
    CU_ASSERT_EQUAL(send(rig.client, "\xff\xff\xff\0\0\0\0\0\1", 9, 0), 9);
    while (!rig.ends)
        rig_turn(&rig);
    CU_ASSERT_EQUAL(rig.ends, 1);
    CU_ASSERT_EQUAL(rig.why, ERR_RPC_PROTOCOL);
    CU_ASSERT_EQUAL(recv(rig.grpc, in, sizeof in, 0), 0);
    CU_ASSERT_EQUAL(recv(rig.client, in, sizeof in, 0), 0);
    rig_stop(&rig);
}

int main(int argc, char **argv)
{
    const struct suite_case cases[] = {
        SUITE_CASE(bytes_arrive_whole_at_a_slow_reader),
        SUITE_CASE(a_reader_that_stops_stops_the_pump),
        SUITE_CASE(the_last_words_of_grpc_reach_the_client),
        SUITE_CASE(the_client_s_end_ends_grpc_s),
        SUITE_CASE(what_the_guard_refuses_does_not_reach_grpc),
        SUITE_END,
    };
    return suite_main("rpc.pump", cases, argc, argv);
}
