/* Credentials: a pod's files, kubeconfigs, and what is refused. */
#include "kube/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "suite.h"

static char folder[] = "/tmp/kube_config_test.XXXXXX";

static char *path_of(const char *name)
{
    static char paths[4][128];
    static unsigned at;
    at = (at + 1) % 4;
    snprintf(paths[at], sizeof paths[at], "%s/%s", folder, name);
    return paths[at];
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
}

static void put_kubeconfig(const char *cluster, const char *user)
{
    char text[8192];
    snprintf(text, sizeof text,
             "apiVersion: v1\nkind: Config\ncurrent-context: one\n"
             "contexts:\n- name: other\n  context: {cluster: none, user: none}\n"
             "- name: one\n  context:\n    cluster: c\n    user: u\n"
             "clusters:\n- name: c\n  cluster:\n%s"
             "users:\n- name: u\n  user:\n%s",
             cluster, user);
    put("config", text);
}

#define CA_LINE "    certificate-authority-data: Y2EtcGVt\n" /* "ca-pem" */
#define CLUSTER "    server: https://10.0.0.1:6443\n" CA_LINE
#define TOKEN "    token: secret\n"

static enum err_code read_config(struct kube_config *config, struct err *err)
{
    memset(config, 0, sizeof *config);
    return kube_config_file(config, path_of("config"), NULL, err);
}

static void pod_has_everything_in_its_folder(void)
{
    struct kube_config config;
    struct err err;
    put("ca.crt", "ca-pem\n");
    put("token", "secret\n");
    put("namespace", "mesh");
    CU_ASSERT_EQUAL_FATAL(kube_config_of_pod(&config, "10.96.0.1", "443", folder, &err), ERR_OK);
    CU_ASSERT_STRING_EQUAL(config.host, "10.96.0.1");
    CU_ASSERT_STRING_EQUAL(config.server_name, "10.96.0.1");
    CU_ASSERT_EQUAL(config.port, 443);
    CU_ASSERT_STRING_EQUAL(config.base_path, "");
    CU_ASSERT_STRING_EQUAL(config.ca_pem, "ca-pem");
    CU_ASSERT_STRING_EQUAL(config.token_file, path_of("token"));
    CU_ASSERT_PTR_NULL(config.token);
    CU_ASSERT_STRING_EQUAL(config.namespace, "mesh");
    kube_config_deinit(&config);
}

static void pod_that_is_none_is_told_so(void)
{
    struct kube_config config = {0};
    struct err err;
    CU_ASSERT_EQUAL(kube_config_of_pod(&config, NULL, "443", folder, &err), ERR_NOT_FOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "KUBERNETES_SERVICE_HOST"));
    static const char *const ports[] = {"0", "65536", "x", "443x", "-1", " 443"};
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++)
        CU_ASSERT_EQUAL(kube_config_of_pod(&config, "a", ports[i], folder, &err), ERR_INVALID);
    static const char *const files[] = {"ca.crt", "token", "namespace"};
    for (size_t i = 0; i < 3; i++) {
        put("ca.crt", "ca-pem");
        put("token", "secret");
        put("namespace", "mesh");
        unlink(path_of(files[i]));
        CU_ASSERT_EQUAL(kube_config_of_pod(&config, "a", "443", folder, &err), ERR_NOT_FOUND);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, files[i]));
        put(files[i], " \n");
        CU_ASSERT_EQUAL(kube_config_of_pod(&config, "a", "443", folder, &err), ERR_INVALID);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "empty"));
    }
    CU_ASSERT_PTR_NULL(config.host);
}

static void kubeconfig_gives_what_its_context_names(void)
{
    struct kube_config config;
    struct err err = {0};
    put_kubeconfig(CLUSTER, TOKEN);
    CU_ASSERT_EQUAL_FATAL(read_config(&config, &err), ERR_OK);
    CU_ASSERT_STRING_EQUAL(config.host, "10.0.0.1");
    CU_ASSERT_STRING_EQUAL(config.server_name, "10.0.0.1");
    CU_ASSERT_EQUAL(config.port, 6443);
    CU_ASSERT_STRING_EQUAL(config.ca_pem, "ca-pem");
    CU_ASSERT_STRING_EQUAL(config.token, "secret");
    CU_ASSERT_STRING_EQUAL(config.namespace, "default");
    CU_ASSERT_PTR_NULL(config.client_cert_pem);
    kube_config_deinit(&config);
    CU_ASSERT_EQUAL(kube_config_file(&config, path_of("config"), "other", &err), ERR_NOT_FOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "cluster \"none\""));
    CU_ASSERT_EQUAL(kube_config_file(&config, path_of("config"), "third", &err), ERR_NOT_FOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "context \"third\""));
    CU_ASSERT_EQUAL(kube_config_file(&config, path_of("missing"), NULL, &err), ERR_NOT_FOUND);
}

static void kubeconfig_may_be_json_and_name_a_namespace(void)
{
    struct kube_config config;
    put("config", "{\"current-context\": \"x\", \"contexts\": [{\"name\": \"x\", \"context\": "
                  "{\"cluster\": \"c\", \"user\": \"u\", \"namespace\": \"shop\"}}], "
                  "\"clusters\": [{\"name\": \"c\", \"cluster\": {\"server\": \"https://api\", "
                  "\"tls-server-name\": \"kubernetes\", \"insecure-skip-tls-verify\": false, "
                  "\"certificate-authority-data\": \"Y2EtcGVt\"}}], "
                  "\"users\": [{\"name\": \"u\", \"user\": {}}]}");
    CU_ASSERT_EQUAL_FATAL(read_config(&config, NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(config.namespace, "shop");
    CU_ASSERT_STRING_EQUAL(config.host, "api");
    CU_ASSERT_STRING_EQUAL(config.server_name, "kubernetes");
    CU_ASSERT_EQUAL(config.port, 443);
    CU_ASSERT_PTR_NULL(config.token);
    kube_config_deinit(&config);
}

static void files_beside_the_kubeconfig_are_found(void)
{
    struct kube_config config;
    struct err err = {0};
    char user[512];
    put("ca.pem", "the ca");
    put("client.pem", "the certificate");
    put("client.key", "the key");
    snprintf(user, sizeof user,
             "    client-certificate: %s\n    client-key: client.key\n    tokenFile: a/token\n",
             path_of("client.pem"));
    put_kubeconfig("    server: https://h\n    certificate-authority: ca.pem\n", user);
    CU_ASSERT_EQUAL_FATAL(read_config(&config, &err), ERR_OK);
    CU_ASSERT_STRING_EQUAL(config.ca_pem, "the ca");
    CU_ASSERT_STRING_EQUAL(config.client_cert_pem, "the certificate");
    CU_ASSERT_STRING_EQUAL(config.client_key_pem, "the key");
    CU_ASSERT_STRING_EQUAL(config.token_file, path_of("a/token"));
    kube_config_deinit(&config);
    /* Data in the file wins over a file beside it, which then need not be there. */
    put_kubeconfig("    server: https://h\n    certificate-authority: gone.pem\n" CA_LINE, TOKEN);
    CU_ASSERT_EQUAL_FATAL(read_config(&config, &err), ERR_OK);
    CU_ASSERT_STRING_EQUAL(config.ca_pem, "ca-pem");
    kube_config_deinit(&config);
    put_kubeconfig("    server: https://h\n    certificate-authority: gone.pem\n", TOKEN);
    CU_ASSERT_EQUAL(read_config(&config, &err), ERR_NOT_FOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "cluster \"c\": certificate-authority"));
}

static void servers_are_urls(void)
{
    static const struct {
        const char *url, *host, *path;
        unsigned port;
    } table[] = {
        {"https://api.example", "api.example", "", 443},
        {"https://api.example:6443/", "api.example", "", 6443},
        {"https://10.0.0.1:1", "10.0.0.1", "", 1},
        {"https://[fd00::1]", "fd00::1", "", 443},
        {"https://[fd00::1]:6443", "fd00::1", "", 6443},
        {"https://rancher/k8s/clusters/c-1/", "rancher", "/k8s/clusters/c-1", 443},
        {"http://api.example", NULL, NULL, 0},
        {"api.example", NULL, NULL, 0},
        {"https://", NULL, NULL, 0},
        {"https://:443", NULL, NULL, 0},
        {"https://a:", NULL, NULL, 0},
        {"https://a:0", NULL, NULL, 0},
        {"https://a:65536", NULL, NULL, 0},
        {"https://a:443x", NULL, NULL, 0},
        {"https://a:443:443", NULL, NULL, 0},
        {"https://user@a", NULL, NULL, 0},
        {"https://a?x", NULL, NULL, 0},
        {"https://a#x", NULL, NULL, 0},
        {"https://[fd00::1", NULL, NULL, 0},
        {"https://[a]", NULL, NULL, 0},
        {"https://[10.0.0.1]", NULL, NULL, 0},
        {"https://fd00::1", NULL, NULL, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct kube_config config;
        struct err err = {0};
        char cluster[256];
        snprintf(cluster, sizeof cluster, "    server: \"%s\"\n" CA_LINE, table[i].url);
        put_kubeconfig(cluster, TOKEN);
        enum err_code code = read_config(&config, &err);
        if ((code == ERR_OK) != (table[i].host != NULL))
            fprintf(stderr, "\n%s: %s\n", table[i].url, err.text);
        CU_ASSERT_EQUAL_FATAL(code == ERR_OK, table[i].host != NULL);
        if (code == ERR_OK) {
            CU_ASSERT_STRING_EQUAL(config.host, table[i].host);
            CU_ASSERT_STRING_EQUAL(config.base_path, table[i].path);
            CU_ASSERT_EQUAL(config.port, table[i].port);
        } else {
            CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "expected https://HOST:PORT"));
        }
        kube_config_deinit(&config);
    }
}

static void what_would_trust_anybody_or_run_a_program_is_refused(void)
{
    static const struct {
        const char *cluster, *user, *says;
    } table[] = {
        {CLUSTER "    insecure-skip-tls-verify: true\n", TOKEN, "would trust anybody"},
        {"    server: https://a\n", TOKEN, "has no certificate-authority"},
        {CA_LINE, TOKEN, "has no server"},
        {CLUSTER "    proxy-url: http://p\n", TOKEN, "proxy-url is not supported"},
        {CLUSTER, "    exec: {command: aws}\n", "exec runs another program"},
        {CLUSTER, "    auth-provider: {name: gcp}\n", "auth-provider needs a plugin"},
        {CLUSTER, "    username: a\n", "basic authentication"},
        {CLUSTER, "    password: a\n", "basic authentication"},
        {CLUSTER, "    token: a\n    as: admin\n", "impersonation"},
        {CLUSTER, "    as-groups: [a]\n", "impersonation"},
        {CLUSTER, "    client-key-data: Y2EtcGVt\n", "client-key without client-certificate"},
        {CLUSTER, "    client-certificate-data: Y2EtcGVt\n", "certificate without client-key"},
        {CLUSTER, "    token: [a]\n", "token is no text"},
        {CLUSTER, "    client-key-data: \"?\"\n", "is no base64"},
        {CLUSTER, "    client-key-data: AAAA\n", "is no PEM"},
        {CLUSTER, "    token: a\n    token: b\n", "a key again"},
        {CLUSTER, "    token: &x a\n", "an anchor, an alias or a tag"},
        {CLUSTER, "    [token: a\n", "20:"},
        {CLUSTER, "    - a\n", "is no mapping"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct kube_config config;
        struct err err = {0};
        put_kubeconfig(table[i].cluster, table[i].user);
        CU_ASSERT_NOT_EQUAL(read_config(&config, &err), ERR_OK);
        if (!strstr(err.text, table[i].says))
            fprintf(stderr, "\n%s: expected %s\n", err.text, table[i].says);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, table[i].says));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, path_of("config")));
        CU_ASSERT_PTR_NULL(strstr(err.text, "secret"));
        CU_ASSERT_PTR_NULL(config.host);
    }
}

static void file_that_is_no_kubeconfig_is_refused(void)
{
    static const char *const texts[] = {"",
                                        "a",
                                        "[]",
                                        "{}",
                                        "current-context: a",
                                        "current-context: a\ncontexts: {}",
                                        "current-context: a\ncontexts: [a]",
                                        "current-context: a\ncontexts: [{name: a}]",
                                        "current-context: a\ncontexts: [{name: a, context: {}}]",
                                        "current-context: {}",
                                        "{}\n---\n{}",
                                        "? {a: b}\n: c",
                                        "\"a\\0b\": c",
                                        "a: \"b\\0c\""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct kube_config config;
        struct err err = {0};
        put("config", texts[i]);
        CU_ASSERT_NOT_EQUAL(read_config(&config, &err), ERR_OK);
        CU_ASSERT_PTR_NULL(config.host);
    }
    char deep[512] = "a: ";
    memset(deep + 3, '[', 100);
    put("config", deep);
    struct kube_config config;
    struct err err = {0};
    CU_ASSERT_EQUAL(read_config(&config, &err), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "too many levels"));
}

/* Cut off anywhere, and with any byte changed, it is whole or it is refused. */
static void damaged_kubeconfig_is_refused_or_whole(void)
{
    char text[8192];
    put_kubeconfig(CLUSTER, TOKEN "    tokenFile: x\n    client-certificate-data: Y2EtcGVt\n"
                                  "    client-key-data: Y2EtcGVt\n");
    FILE *file = fopen(path_of("config"), "r");
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    for (size_t i = 0; i < 2 * len; i++) {
        struct kube_config config;
        char copy[8192];
        memcpy(copy, text, len);
        if (i < len)
            copy[i] = "\0{[&*!:\"-#\n\x80"[i % 12];
        copy[i < len ? len : i - len] = 0;
        put("config", copy);
        enum err_code code = read_config(&config, NULL);
        CU_ASSERT_TRUE(code != ERR_OK || (config.host && config.ca_pem && config.namespace));
        kube_config_deinit(&config);
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(pod_has_everything_in_its_folder),
        SUITE_CASE(pod_that_is_none_is_told_so),
        SUITE_CASE(kubeconfig_gives_what_its_context_names),
        SUITE_CASE(kubeconfig_may_be_json_and_name_a_namespace),
        SUITE_CASE(files_beside_the_kubeconfig_are_found),
        SUITE_CASE(servers_are_urls),
        SUITE_CASE(what_would_trust_anybody_or_run_a_program_is_refused),
        SUITE_CASE(file_that_is_no_kubeconfig_is_refused),
        SUITE_CASE(damaged_kubeconfig_is_refused_or_whole),
        SUITE_END,
    };
    if (!mkdtemp(folder))
        return 2;
    int status = suite_main("kube/config", cases, argc, argv);
    static const char *const files[] = {"ca.crt", "token",      "namespace", "config",
                                        "ca.pem", "client.pem", "client.key"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(path_of(files[i]));
    rmdir(folder);
    return status;
}
