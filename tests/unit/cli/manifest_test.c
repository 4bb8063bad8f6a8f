#include "cli/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "cli/manifest_yaml.h"
#include "suite.h"

#define TEMPLATE "{metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}"
#define POD                                                                                        \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"                                           \
    "spec: {containers: [{name: web, image: web}]}\n"

static char *notes;
static size_t notes_len;

/* What manifest_inject makes of it, malloc'd; NULL with the sentence in *err. The notes are kept.
 */
static char *inject(const char *text, bool json, struct err *err)
{
    struct settings settings;
    char *out = NULL;
    size_t len = 0;
    free(notes);
    notes = NULL;
    FILE *to = open_memstream(&notes, &notes_len);
    CU_ASSERT_EQUAL_FATAL(settings_init(&settings, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(settings_check(&settings, NULL), ERR_OK);
    enum err_code code = manifest_inject(text, strlen(text), &settings, json, to, &out, &len, err);
    CU_ASSERT_EQUAL(code, err->code);
    CU_ASSERT_EQUAL(out != NULL, code == ERR_OK);
    CU_ASSERT(!out || strlen(out) == len);
    settings_deinit(&settings);
    fclose(to);
    return out;
}

static unsigned count(const char *text, const char *part)
{
    unsigned found = 0;
    for (const char *at = text; (at = strstr(at, part)); at++)
        found++;
    return found;
}

static void every_kind_with_a_pod_template_gets_its_sidecar(void)
{
    static const char *const objects[] = {
        POD,
        "apiVersion: v1\nkind: PodTemplate\ntemplate: " TEMPLATE "\n",
        "apiVersion: v1\nkind: ReplicationController\nspec: {template: " TEMPLATE "}\n",
        "apiVersion: apps/v1\nkind: Deployment\nspec: {template: " TEMPLATE "}\n",
        "apiVersion: apps/v1\nkind: ReplicaSet\nspec: {template: " TEMPLATE "}\n",
        "apiVersion: apps/v1\nkind: StatefulSet\nspec: {template: " TEMPLATE "}\n",
        "apiVersion: apps/v1\nkind: DaemonSet\nspec: {template: " TEMPLATE "}\n",
        "apiVersion: batch/v1\nkind: Job\nspec: {template: " TEMPLATE "}\n",
        "apiVersion: batch/v1\nkind: CronJob\nspec: {jobTemplate: {spec: {template: " TEMPLATE
        "}}}\n",
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service}\n"
        "- {apiVersion: apps/v1, kind: Deployment, spec: {template: " TEMPLATE "}}\n",
    };
    for (unsigned i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        struct err err;
        char *out = inject(objects[i], false, &err);
        CU_ASSERT_PTR_NOT_NULL_FATAL(out);
        CU_ASSERT_EQUAL(count(out, "- name: handfast-proxy\n"), 1);
        CU_ASSERT_EQUAL(count(out, "handfast.io/status: "), 1);
        CU_ASSERT_STRING_EQUAL(notes, "");
        /* and a second time there is nothing to do */
        char *again = inject(out, false, &err);
        CU_ASSERT_PTR_NOT_NULL_FATAL(again);
        CU_ASSERT_STRING_EQUAL(again, out);
        CU_ASSERT(strstr(notes, "left alone: already_injected\n") != NULL);
        free(again);
        free(out);
    }
}

static void everything_else_stays_byte_for_byte(void)
{
    static const char *const texts[] = {
        "# a comment\napiVersion: v1\nkind: Service # another\nspec:   {}\n",
        "---\nkind: ConfigMap\ndata: {a: 0x1F}\n---\n# only this\n---\nkind: Secret\n",
        "apiVersion: batch.volcano.sh/v1alpha1\nkind: Job\nspec: {template: {}}\n",
        "apiVersion: v1\nkind: Deployment\nspec: 5\n",
        ("apiVersion: v1\nkind: Pod\nmetadata: {labels: {handfast.io/inject: disabled}}\n"
         "spec: {containers: [{name: a}]}\n"),
        "- a list\n",
        "just words",
        "",
        "\n\n",
        "%YAML 1.1\n---\nkind: Service\n...\n---\nkind: Service\n",
        "kind: Service\r\nspec: {}\r\n---\r\nkind: Secret\r\n",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct err err;
        char *out = inject(texts[i], false, &err);
        if (!out)
            printf("\n%s: %s\n", texts[i], err.text);
        CU_ASSERT_PTR_NOT_NULL_FATAL(out);
        CU_ASSERT_STRING_EQUAL(out, texts[i]);
        free(out);
    }
}

static void documents_are_told_apart(void)
{
    static const char first[] = "# before\nkind: Service\n", last[] = "---\nkind: Secret # last\n";
    char text[1000],
        block[] = "---\napiVersion: v1\nkind: ConfigMap\ndata:\n  a: |\n    ---\n    b\n";
    struct err err;
    snprintf(text, sizeof text, "%s---\n%s%s%s", first, POD, block, last);
    char *out = inject(text, false, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    CU_ASSERT_EQUAL(strncmp(out, first, sizeof first - 1), 0);
    CU_ASSERT_EQUAL(strncmp(out + sizeof first - 1, "---\napiVersion: v1\nkind: Pod\n", 29), 0);
    CU_ASSERT(strstr(out, block) != NULL);
    CU_ASSERT_STRING_EQUAL(out + strlen(out) - sizeof last + 1, last);
    free(out);
}

static void json_is_every_document_as_json(void)
{
    struct err err;
    char *out = inject("kind: Service\n---\n" POD, true, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    json_error_t error;
    json_t *service = json_loads(out, JSON_DISABLE_EOF_CHECK, &error);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(service, "kind")), "Service");
    json_t *pod = json_loads(out + error.position, JSON_DISABLE_EOF_CHECK, &error);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(pod, "kind")), "Pod");
    json_decref(service);
    json_decref(pod);
    free(out);
}

static void warnings_and_reasons_name_the_object(void)
{
    struct err err;
    char *out = inject("apiVersion: batch/v1\nkind: Job\nmetadata: {name: j, namespace: shop}\n"
                       "spec: {template: {metadata: {annotations: {handfast.io/native-sidecar: "
                       "'false'}}, spec: {containers: [{name: a}]}}}\n",
                       false, &err);
    CU_ASSERT(strstr(notes, "Job shop/j: warning: ") != NULL);
    CU_ASSERT(strstr(notes, "the pod never completes") != NULL);
    free(out);
    out = inject("apiVersion: v1\nkind: Pod\nmetadata: {generateName: web-}\n"
                 "spec: {hostNetwork: true, containers: [{name: a}]}\n",
                 false, &err);
    CU_ASSERT(strstr(notes, "Pod web-: left alone: host_network\n") != NULL);
    free(out);
}

static void a_mistake_anywhere_means_no_output(void)
{
    static const struct {
        const char *text, *sentence;
    } rows[] = {
        {POD "---\na: ]\n", "line 6: "},
        {POD "---\napiVersion: v1\nkind: Pod\nmetadata: {name: b, annotations: "
             "{handfast.io/log-level: loud}}\nspec: {containers: [{name: a}]}\n",
         "Pod b: annotation handfast.io/log-level: 'loud' is not valid"},
        {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {}\n",
         "Deployment d: there is no pod template in it"},
        {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: p}}\n",
         "Pod p: the pod has no spec.containers"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err;
        char *out = inject(rows[i].text, false, &err);
        CU_ASSERT_PTR_NULL(out);
        if (!strstr(err.text, rows[i].sentence))
            printf("\n%s\n", err.text);
        CU_ASSERT(strstr(err.text, rows[i].sentence) != NULL);
        free(out);
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(every_kind_with_a_pod_template_gets_its_sidecar),
        SUITE_CASE(everything_else_stays_byte_for_byte),
        SUITE_CASE(documents_are_told_apart),
        SUITE_CASE(json_is_every_document_as_json),
        SUITE_CASE(warnings_and_reasons_name_the_object),
        SUITE_CASE(a_mistake_anywhere_means_no_output),
        SUITE_END,
    };
    int failed = suite_main("cli.manifest", cases, argc, argv);
    free(notes);
    return failed;
}
