#include "injector/conflict.h"

#include "kit.h"
#include "suite.h"

#define POD(spec) "{'metadata': {'name': 'p'}, 'spec': {" spec "}}"
#define WITH(container) POD("'containers': [{'name': 'web'" container "}]")
#define WEB "'containers': [{'name': 'web'}]"

static void nobody_else_runs_as_the_proxy(void)
{
    kit_refused(WITH(", 'securityContext': {'runAsUser': 1337}"),
                "securityContext.runAsUser of the container 'web' is 1337, which is the proxy's");
    kit_refused(WITH(", 'securityContext': {'runAsGroup': 1337}"),
                "securityContext.runAsGroup of the container 'web'");
    kit_refused(POD(WEB ", 'securityContext': {'runAsUser': 1337}"),
                "securityContext.runAsUser of the pod is 1337");
    kit_refused(POD(WEB ", 'securityContext': {'runAsGroup': 1337}"),
                "securityContext.runAsGroup of the pod is 1337");
    kit_refused(POD(WEB ", 'initContainers': [{'name': 'migrate', 'securityContext':"
                        " {'runAsUser': 1337}}]"),
                "of the container 'migrate'");
    json_decref(kit_injected(POD(WEB ", 'securityContext': {'runAsUser': 1338, 'fsGroup': 1337,"
                                     " 'supplementalGroups': [1337]}"),
                             NULL, NULL));
}

static void names_of_ours_are_taken(void)
{
    kit_refused(POD("'containers': [{'name': 'web'}, {'name': 'handfast-proxy'}]"),
                "a container 'handfast-proxy' that was not put there by Handfast");
    kit_refused(POD(WEB ", 'initContainers': [{'name': 'handfast-redirect'}]"),
                "a container 'handfast-redirect'");
    kit_refused(POD(WEB ", 'volumes': [{'name': 'handfast-token', 'emptyDir': {}}]"),
                "a volume 'handfast-token'");
}

static void ports_of_ours_are_taken(void)
{
    kit_refused(WITH(", 'ports': [{'containerPort': 80}, {'containerPort': 15001}]"),
                "the container 'web' has the port 15001, which is the proxy's");
    kit_refused(WITH(", 'ports': [{'containerPort': 15006, 'protocol': 'TCP'}]"), "port 15006");
    kit_refused(WITH(", 'ports': [{'containerPort': 15020}]"), "port 15020");
    kit_refused(WITH(", 'ports': [{'containerPort': 15021}]"), "port 15021");
    json_decref(kit_injected(WITH(", 'ports': [{'containerPort': 15021, 'protocol': 'UDP'},"
                                  " {'containerPort': 15000}]"),
                             NULL, NULL));
}

static void what_is_no_pod_is_refused(void)
{
    kit_refused("[]", "the pod has no spec.containers");
    kit_refused("{}", "the pod has no spec.containers");
    kit_refused(POD("'containers': []"), "the pod has no spec.containers");
    kit_refused(POD("'containers': {}"), "spec.containers of the pod is not a list");
    kit_refused(POD("'containers': [5]"), "spec.containers[0] of the pod has no name");
    kit_refused(POD(WEB ", 'initContainers': [{'name': 7}]"), "spec.initContainers[0]");
    kit_refused(POD(WEB ", 'volumes': 'all'"), "spec.volumes of the pod is not a list");
    kit_refused("{'metadata': [], 'spec': {" WEB "}}", "metadata of the pod is not an object");
    kit_refused("{'metadata': {'labels': {'a': 1}}, 'spec': {" WEB "}}",
                "metadata.labels of the pod: the value of 'a' is not a string");
    kit_refused("{'metadata': {'annotations': {'a': null}}, 'spec': {" WEB "}}",
                "metadata.annotations of the pod: the value of 'a' is not a string");
    json_decref(kit_injected("{'metadata': {'annotations': null}, 'spec': {" WEB
                             ", 'volumes': null,"
                             " 'initContainers': null}}",
                             NULL, NULL));
    json_decref(kit_injected("{'spec': {" WEB "}}", NULL, NULL));
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(nobody_else_runs_as_the_proxy),
        SUITE_CASE(names_of_ours_are_taken),
        SUITE_CASE(ports_of_ours_are_taken),
        SUITE_CASE(what_is_no_pod_is_refused),
        SUITE_END,
    };
    return suite_main("injector.conflict", cases, argc, argv);
}
