#include "proxy/config.h"

#include <string.h>

#include "suite.h"

#define REQUIRED                                                                                   \
    "proxy", "--pod-name", "web-1", "--namespace", "shop", "--pod-ip", "10.0.0.1,fd00::1",         \
        "--control", "10.0.0.9:15012", "--control-ca", "ca.pem", "--token-file", "token"

static enum err_code parse(struct config *config, const char *const *words, int count,
                           struct err *err)
{
    char *argv[40];
    for (int i = 0; i < count; i++)
        argv[i] = (char *)(uintptr_t)words[i];
    return config_parse(config, count, argv, err);
}
#define PARSE(config, err, ...)                                                                    \
    parse(config, (const char *const[]){__VA_ARGS__},                                              \
          sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), err)

static void the_required_options_make_an_identity_and_defaults_fill_the_rest(void)
{
    struct config config;
    struct err err = {0};
    CU_ASSERT_EQUAL_FATAL(PARSE(&config, &err, REQUIRED, "--service-account", "web"), ERR_OK);
    CU_ASSERT_STRING_EQUAL(config.id.text, "spiffe://cluster.local/ns/shop/sa/web");
    CU_ASSERT_EQUAL(config.outbound_port, 15001);
    CU_ASSERT_EQUAL(config.inbound_port, 15006);
    CU_ASSERT_EQUAL(config.handshake_timeout_ms, 5000);
    CU_ASSERT_EQUAL(config.pod_ip_count, 2);
    CU_ASSERT_STRING_EQUAL(config.control_host, "10.0.0.9");
    CU_ASSERT_STRING_EQUAL(config.control_port, "15012");
    CU_ASSERT_TRUE(config_is_pod_ip(&config, &config.pod_ips[1]));
}

static void without_a_control_plane_there_is_nothing_to_run(void)
{
    struct config config;
    struct err err = {0};
    CU_ASSERT_EQUAL(PARSE(&config, &err, "proxy", "--pod-name", "a", "--namespace", "b", "--pod-ip",
                          "10.0.0.1", "--control-ca", "c", "--token-file", "t"),
                    ERR_USAGE);
    CU_ASSERT_STRING_EQUAL(err.text, "--control is missing");
}

static void control_takes_names_and_addresses_with_a_port(void)
{
    struct config config;
    struct err err = {0};
    CU_ASSERT_EQUAL(PARSE(&config, &err, REQUIRED, "--control", "[fd00::9]:1"), ERR_OK);
    CU_ASSERT_STRING_EQUAL(config.control_host, "fd00::9");
    CU_ASSERT_EQUAL(PARSE(&config, &err, REQUIRED, "--control", "control.mesh:15012"), ERR_OK);
    CU_ASSERT_STRING_EQUAL(config.control_host, "control.mesh");
    const char *const bad[] = {"host", "host:", ":1", "host:0", "host:65536", "fd00::9:1", "h:1x"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CU_ASSERT_EQUAL(PARSE(&config, &err, REQUIRED, "--control", bad[i]), ERR_USAGE);
}

static void what_makes_no_sense_is_refused_with_the_option_s_name(void)
{
    static const char *const bad[][2] = {
        {"--pod-ip", "10.0.0.1,"},   {"--pod-ip", "10.0.0.256"}, {"--access-log", "xml"},
        {"--log-format", "off"},     {"--log-level", "loud"},    {"--workers", "-1"},
        {"--inbound-port", "15001"}, {"--namespace", "a/b"},     {"--drain-ms", "1s"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct config config;
        struct err err = {0};
        CU_ASSERT_EQUAL(PARSE(&config, &err, REQUIRED, bad[i][0], bad[i][1]), ERR_USAGE);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, bad[i][0]));
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(the_required_options_make_an_identity_and_defaults_fill_the_rest),
        SUITE_CASE(without_a_control_plane_there_is_nothing_to_run),
        SUITE_CASE(control_takes_names_and_addresses_with_a_port),
        SUITE_CASE(what_makes_no_sense_is_refused_with_the_option_s_name),
        SUITE_END,
    };
    return suite_main("proxy/config", cases, argc, argv);
}
