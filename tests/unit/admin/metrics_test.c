#include "admin/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/exposition.h"
#include "admin/process.h"
#include "suite.h"

enum { CONNECTIONS, PLAIN, TABLE_COUNT };
enum { OPENED, SENT, LIVE };

static const struct metrics_family connection_families[] = {
    {"istio_tcp_connections_opened_total", METRICS_COUNTER, "Connections opened."},
    {"istio_tcp_sent_bytes_total", METRICS_COUNTER, "Bytes sent."},
    {"live", METRICS_GAUGE, "A help\nwith a \\ and a \"quote\"."},
};
static const struct metrics_family plain_families[] = {
    {"handshakes_total", METRICS_COUNTER, "Handshakes."},
};
static const char *const labels[] = {"reporter", "peer"};
static const struct metrics_table tables[] = {
    [CONNECTIONS] = {connection_families, 3, labels, 2, true},
    [PLAIN] = {plain_families, 1, NULL, 0, false},
};

static struct metrics *registry(void)
{
    struct metrics *metrics = NULL;
    CU_ASSERT_EQUAL_FATAL(metrics_new(&metrics, tables, TABLE_COUNT, NULL), ERR_OK);
    return metrics;
}

static struct metrics_shard *shard_of(struct metrics *metrics)
{
    struct metrics_shard *shard = NULL;
    CU_ASSERT_EQUAL_FATAL(metrics_shard_new(&shard, metrics, NULL), ERR_OK);
    return shard;
}

static char *rendered(const struct metrics *metrics)
{
    char *text = NULL;
    size_t len = 0;
    CU_ASSERT_EQUAL_FATAL(metrics_render(metrics, &text, &len, NULL), ERR_OK);
    CU_ASSERT_EQUAL(strlen(text), len);
    return text;
}

static bool has_line(const char *text, const char *line)
{
    size_t len = strlen(line);
    for (const char *at = strstr(text, line); at; at = strstr(at + 1, line)) {
        if ((at == text || at[-1] == '\n') && at[len] == '\n')
            return true;
    }
    printf("\nno line: %s\nin:\n%s\n", line, text);
    return false;
}

static unsigned count_of(const char *text, const char *word)
{
    unsigned count = 0;
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        count++;
    return count;
}

static void equal_label_values_of_all_shards_are_summed(void)
{
    struct metrics *metrics = registry();
    struct metrics_shard *one = shard_of(metrics), *two = shard_of(metrics);
    const char *const a[] = {"source", "spiffe://m/ns/a/sa/a"};
    const char *const b[] = {"source", "spiffe://m/ns/a/sa/b"};
    metrics_add(metrics_row(one, CONNECTIONS, a), SENT, 40);
    metrics_add(metrics_row(two, CONNECTIONS, a), SENT, 2);
    metrics_add(metrics_row(two, CONNECTIONS, b), SENT, 7);
    metrics_add(metrics_row(one, PLAIN, NULL), 0, 1);
    metrics_add(metrics_row(two, PLAIN, NULL), 0, 1);
    char *text = rendered(metrics);
    CU_ASSERT(has_line(
        text, "istio_tcp_sent_bytes_total{reporter=\"source\",peer=\"spiffe://m/ns/a/sa/a\"} 42"));
    CU_ASSERT(has_line(
        text, "istio_tcp_sent_bytes_total{reporter=\"source\",peer=\"spiffe://m/ns/a/sa/b\"} 7"));
    CU_ASSERT(has_line(text, "handshakes_total 2"));
    CU_ASSERT_EQUAL(metrics_sum(metrics, CONNECTIONS, SENT, a), 42);
    free(text);
    metrics_free(metrics);
}

static void the_same_label_values_give_the_same_row(void)
{
    struct metrics *metrics = registry();
    struct metrics_shard *shard = shard_of(metrics);
    char peer[] = "p";
    struct metrics_row *row =
        metrics_row(shard, CONNECTIONS, (const char *const[]){"source", peer});
    peer[0] = 'q';
    CU_ASSERT_PTR_NOT_EQUAL(row,
                            metrics_row(shard, CONNECTIONS, (const char *const[]){"source", "q"}));
    CU_ASSERT_PTR_EQUAL(row, metrics_row(shard, CONNECTIONS, (const char *const[]){"source", "p"}));
    /* Joined without a border these two would be the same. */
    CU_ASSERT_PTR_NOT_EQUAL(metrics_row(shard, CONNECTIONS, (const char *const[]){"ab", "c"}),
                            metrics_row(shard, CONNECTIONS, (const char *const[]){"a", "bc"}));
    metrics_free(metrics);
}

static void empty_and_missing_values_are_unknown(void)
{
    struct metrics *metrics = registry();
    struct metrics_shard *shard = shard_of(metrics);
    metrics_add(metrics_row(shard, CONNECTIONS, (const char *const[]){"", NULL}), OPENED, 1);
    char *text = rendered(metrics);
    CU_ASSERT(has_line(
        text, "istio_tcp_connections_opened_total{reporter=\"unknown\",peer=\"unknown\"} 1"));
    free(text);
    metrics_free(metrics);
}

static void help_and_type_are_written_once_for_a_family(void)
{
    struct metrics *metrics = registry();
    struct metrics_shard *shard = shard_of(metrics);
    metrics_add(metrics_row(shard, CONNECTIONS, (const char *const[]){"a", "b"}), SENT, 1);
    metrics_add(metrics_row(shard, CONNECTIONS, (const char *const[]){"c", "d"}), SENT, 1);
    char *text = rendered(metrics);
    CU_ASSERT_EQUAL(count_of(text, "# HELP istio_tcp_sent_bytes_total "), 1);
    CU_ASSERT(has_line(text, "# TYPE istio_tcp_sent_bytes_total counter"));
    CU_ASSERT(has_line(text, "# HELP live A help\\nwith a \\\\ and a \"quote\"."));
    CU_ASSERT(has_line(text, "# TYPE live gauge"));
    free(text);
    metrics_free(metrics);
}

static void label_values_are_escaped_and_made_utf8(void)
{
    struct metrics *metrics = registry();
    struct metrics_shard *shard = shard_of(metrics);
    metrics_add(metrics_row(shard, CONNECTIONS,
                            (const char *const[]){"q\" b\\ n\n", "\xc3\xa9\xff\xed\xa0\x80"}),
                SENT, 1);
    char *text = rendered(metrics);
    CU_ASSERT(has_line(text, "istio_tcp_sent_bytes_total{reporter=\"q\\\" b\\\\ n\\n\","
                             "peer=\"\xc3\xa9????\"} 1"));
    free(text);
    metrics_free(metrics);
}

static void a_long_value_is_cut(void)
{
    struct metrics *metrics = registry();
    struct metrics_shard *shard = shard_of(metrics);
    char peer[1000];
    memset(peer, 'x', sizeof peer - 1);
    peer[sizeof peer - 1] = 0;
    metrics_add(metrics_row(shard, CONNECTIONS, (const char *const[]){"a", peer}), SENT, 1);
    char *text = rendered(metrics);
    peer[METRICS_VALUE_MAX] = 0;
    CU_ASSERT_PTR_NOT_NULL(strstr(text, peer));
    peer[METRICS_VALUE_MAX] = 'x';
    peer[METRICS_VALUE_MAX + 1] = 0;
    CU_ASSERT_PTR_NULL(strstr(text, peer));
    free(text);
    metrics_free(metrics);
}

static void a_full_table_sends_the_rest_to_other_and_counts_it(void)
{
    struct metrics *metrics = registry();
    struct metrics_shard *shard = shard_of(metrics);
    char peer[32];
    for (int i = 0; i < METRICS_ROWS_MAX + 5; i++) {
        snprintf(peer, sizeof peer, "p%d", i);
        metrics_add(metrics_row(shard, CONNECTIONS, (const char *const[]){"source", peer}), SENT,
                    1);
    }
    /* A row that was there before is still itself. */
    metrics_add(metrics_row(shard, CONNECTIONS, (const char *const[]){"source", "p0"}), SENT, 1);
    char *text = rendered(metrics);
    CU_ASSERT(has_line(text, "istio_tcp_sent_bytes_total{reporter=\"other\",peer=\"other\"} 5"));
    CU_ASSERT(has_line(text, "istio_tcp_sent_bytes_total{reporter=\"source\",peer=\"p0\"} 2"));
    CU_ASSERT(has_line(text, "handfast_metrics_rows_refused_total 5"));
    CU_ASSERT_EQUAL(count_of(text, "\nistio_tcp_sent_bytes_total{"), METRICS_ROWS_MAX + 1);
    free(text);
    metrics_free(metrics);
}

static void a_gauge_goes_down_even_from_another_shard(void)
{
    struct metrics *metrics = registry();
    struct metrics_shard *one = shard_of(metrics), *two = shard_of(metrics);
    const char *const a[] = {"x", "y"};
    metrics_add(metrics_row(one, CONNECTIONS, a), LIVE, 3);
    metrics_sub(metrics_row(two, CONNECTIONS, a), LIVE, 5);
    char *text = rendered(metrics);
    CU_ASSERT(has_line(text, "live{reporter=\"x\",peer=\"y\"} -2"));
    free(text);
    metrics_free(metrics);
}

static void cells_at_zero_are_left_out_where_the_table_says_so(void)
{
    struct metrics *metrics = registry();
    metrics_add(metrics_row(shard_of(metrics), CONNECTIONS, (const char *const[]){"x", "y"}), SENT,
                1);
    char *text = rendered(metrics);
    CU_ASSERT_PTR_NULL(strstr(text, "\nlive{"));
    CU_ASSERT(has_line(text, "handshakes_total 0"));
    free(text);
    metrics_free(metrics);
}

static void collect_numbers(void *arg, struct exposition *text)
{
    const char *const names[] = {"root"}, *const values[] = {"a\"b"};
    exposition_family(text, "expiry_seconds", METRICS_GAUGE, "When.");
    exposition_real(text, names, values, 1, *(double *)arg);
    exposition_gauge(text, "inf", "I.", 1.0 / *(double *)arg);
}

static void a_collector_writes_its_own_samples(void)
{
    struct metrics *metrics = registry();
    double number = 1790000000.25;
    CU_ASSERT_EQUAL(metrics_collect(metrics, collect_numbers, &number, NULL), ERR_OK);
    char *text = rendered(metrics);
    CU_ASSERT(has_line(text, "expiry_seconds{root=\"a\\\"b\"} 1790000000.25"));
    free(text);
    metrics_free(metrics);
}

static void odd_numbers_are_written_as_prometheus_reads_them(void)
{
    struct exposition text = {0};
    volatile double zero = 0;
    exposition_gauge(&text, "a", "A.", 1 / zero);
    exposition_gauge(&text, "b", "B.", -1 / zero);
    exposition_gauge(&text, "c", "C.", zero / zero);
    CU_ASSERT(has_line(text.data, "a +Inf"));
    CU_ASSERT(has_line(text.data, "b -Inf"));
    CU_ASSERT(has_line(text.data, "c NaN"));
    free(text.data);
}

static void more_collectors_than_the_ceiling_are_refused(void)
{
    struct metrics *metrics = registry();
    for (int i = 0; i < METRICS_COLLECTORS_MAX; i++)
        CU_ASSERT_EQUAL(metrics_collect(metrics, process_collect, NULL, NULL), ERR_OK);
    CU_ASSERT_EQUAL(metrics_collect(metrics, process_collect, NULL, NULL), ERR_BUSY);
    metrics_free(metrics);
}

static double sample(const char *text, const char *name)
{
    char start[80];
    snprintf(start, sizeof start, "\n%s ", name);
    const char *at = strstr(text, start);
    return at ? strtod(at + strlen(start), NULL) : -1;
}

static void the_process_metrics_are_true(void)
{
    struct metrics *metrics = registry();
    metrics_collect(metrics, process_collect, NULL, NULL);
    char *text = rendered(metrics);
    double fds = sample(text, "process_open_fds");
    FILE *more = fopen("/dev/null", "r");
    free(text);
    text = rendered(metrics);
    CU_ASSERT_EQUAL(sample(text, "process_open_fds"), fds + 1);
    fclose(more);
    double started = sample(text, "process_start_time_seconds"), now = (double)time(NULL);
    CU_ASSERT(started > now - 120 && started < now + 2);
    CU_ASSERT(sample(text, "process_max_fds") >= fds);
    CU_ASSERT(sample(text, "process_resident_memory_bytes") > 500000);
    CU_ASSERT(sample(text, "process_cpu_seconds_total") >= 0);
    free(text);
    metrics_free(metrics);
}

/* Threads that make shards and rows and count, while another thread scrapes: what the sanitizer for
 * threads is to look at, and every scrape must see counters that never go back. */
enum { WRITERS = 4, ROUNDS = 20000, PEERS = 300 };

static void *write_rounds(void *arg)
{
    struct metrics_shard *shard = shard_of(arg);
    char peer[16];
    for (unsigned i = 0; i < ROUNDS; i++) {
        snprintf(peer, sizeof peer, "p%u", i * 7 % PEERS);
        struct metrics_row *row =
            metrics_row(shard, CONNECTIONS, (const char *const[]){"source", peer});
        metrics_add(row, SENT, 3);
        metrics_add(metrics_row(shard, PLAIN, NULL), 0, 1);
    }
    return NULL;
}

static void scraping_while_threads_count_loses_nothing(void)
{
    struct metrics *metrics = registry();
    pthread_t writers[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&writers[i], NULL, write_rounds, metrics), 0);
    double last = 0;
    while (last < (double)WRITERS * ROUNDS) {
        char *text = rendered(metrics);
        double seen = sample(text, "handshakes_total");
        seen = seen < 0 ? 0 : seen; /* before the first shard there is no row */
        CU_ASSERT(seen >= last);
        last = seen;
        free(text);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    uint64_t sum = 0;
    char peer[16];
    for (unsigned i = 0; i < PEERS; i++) {
        snprintf(peer, sizeof peer, "p%u", i);
        sum += metrics_sum(metrics, CONNECTIONS, SENT, (const char *const[]){"source", peer});
    }
    CU_ASSERT_EQUAL(sum, (uint64_t)WRITERS * ROUNDS * 3);
    metrics_free(metrics);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(equal_label_values_of_all_shards_are_summed),
        SUITE_CASE(the_same_label_values_give_the_same_row),
        SUITE_CASE(empty_and_missing_values_are_unknown),
        SUITE_CASE(help_and_type_are_written_once_for_a_family),
        SUITE_CASE(label_values_are_escaped_and_made_utf8),
        SUITE_CASE(a_long_value_is_cut),
        SUITE_CASE(a_full_table_sends_the_rest_to_other_and_counts_it),
        SUITE_CASE(a_gauge_goes_down_even_from_another_shard),
        SUITE_CASE(cells_at_zero_are_left_out_where_the_table_says_so),
        SUITE_CASE(a_collector_writes_its_own_samples),
        SUITE_CASE(odd_numbers_are_written_as_prometheus_reads_them),
        SUITE_CASE(more_collectors_than_the_ceiling_are_refused),
        SUITE_CASE(the_process_metrics_are_true),
        SUITE_CASE(scraping_while_threads_count_loses_nothing),
        SUITE_END,
    };
    return suite_main("admin_metrics", cases, argc, argv);
}
