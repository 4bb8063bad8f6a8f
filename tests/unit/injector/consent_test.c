#include "injector/consent.h"

#include "kit.h"
#include "suite.h"

#define POD(metadata, spec)                                                                        \
    "{'metadata': {'name': 'p'" metadata "}, 'spec': {'containers': [{'name': 'web'}]" spec "}}"
#define ANNOTATED(name, value) POD(", 'annotations': {'" name "': '" value "'}", "")
#define LABELLED(name, value) POD(", 'labels': {'" name "': '" value "'}", "")

static void label_or_annotation_ours_or_istios_says_no(void)
{
    kit_skipped(LABELLED("handfast.io/inject", "disabled"), INJECT_OPTED_OUT, NULL);
    kit_skipped(LABELLED("handfast.io/inject", "false"), INJECT_OPTED_OUT, NULL);
    kit_skipped(ANNOTATED("handfast.io/inject", "disabled"), INJECT_OPTED_OUT, NULL);
    kit_skipped(LABELLED("sidecar.istio.io/inject", "false"), INJECT_OPTED_OUT, NULL);
    kit_skipped(ANNOTATED("sidecar.istio.io/inject", "false"), INJECT_OPTED_OUT, NULL);
    kit_skipped(ANNOTATED("sidecar.istio.io/inject", "no"), INJECT_OPTED_OUT, NULL);
}

static void yes_is_yes(void)
{
    json_decref(kit_injected(LABELLED("handfast.io/inject", "enabled"), NULL, NULL));
    json_decref(kit_injected(ANNOTATED("handfast.io/inject", "true"), NULL, NULL));
    json_decref(kit_injected(LABELLED("sidecar.istio.io/inject", "true"), NULL, NULL));
    json_decref(kit_injected(ANNOTATED("sidecar.istio.io/inject", "on"), NULL, NULL));
}

static void label_counts_before_annotation_and_ours_before_istios(void)
{
    json_decref(kit_injected(POD(", 'labels': {'handfast.io/inject': 'enabled'},"
                                 " 'annotations': {'handfast.io/inject': 'disabled'}",
                                 ""),
                             NULL, NULL));
    kit_skipped(POD(", 'annotations': {'handfast.io/inject': 'disabled',"
                    " 'sidecar.istio.io/inject': 'true'}",
                    ""),
                INJECT_OPTED_OUT, NULL);
}

static void anything_else_is_refused(void)
{
    kit_refused(LABELLED("handfast.io/inject", "maybe"),
                "label handfast.io/inject: 'maybe' is not valid: expected enabled or disabled, "
                "true or false");
    kit_refused(ANNOTATED("handfast.io/inject", "yes"), "annotation handfast.io/inject: 'yes'");
    kit_refused(ANNOTATED("handfast.io/inject", ""), "annotation handfast.io/inject: ''");
    kit_refused(ANNOTATED("sidecar.istio.io/inject", "True"), "sidecar.istio.io/inject: 'True'");
}

static void who_says_no_is_asked_nothing_else(void)
{
    kit_skipped(POD(", 'annotations': {'handfast.io/inject': 'disabled',"
                    " 'handfast.io/proxy-cpu': 'much'}",
                    ", 'hostNetwork': true, 'securityContext': {'runAsUser': 1337}"),
                INJECT_OPTED_OUT, NULL);
}

static void pods_that_cannot_have_a_sidecar_are_left_alone_and_say_so(void)
{
    kit_skipped(POD("", ", 'hostNetwork': true"), INJECT_HOST_NETWORK, "(hostNetwork)");
    kit_skipped(POD("", ", 'os': {'name': 'windows'}"), INJECT_WINDOWS, "Windows");
    kit_skipped(POD("", ", 'nodeSelector': {'kubernetes.io/os': 'windows'}"), INJECT_WINDOWS,
                "Windows");
    kit_skipped(ANNOTATED("kubernetes.io/config.mirror", "1"), INJECT_STATIC_POD, NULL);
    json_decref(
        kit_injected(POD("", ", 'hostNetwork': false, 'os': {'name': 'linux'}"), NULL, NULL));
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(label_or_annotation_ours_or_istios_says_no),
        SUITE_CASE(yes_is_yes),
        SUITE_CASE(label_counts_before_annotation_and_ours_before_istios),
        SUITE_CASE(anything_else_is_refused),
        SUITE_CASE(who_says_no_is_asked_nothing_else),
        SUITE_CASE(pods_that_cannot_have_a_sidecar_are_left_alone_and_say_so),
        SUITE_END,
    };
    return suite_main("injector.consent", cases, argc, argv);
}
