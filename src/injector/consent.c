#include "injector/consent.h"

#include <string.h>

#include "injector/sidecar.h"
#include "injector/value.h"
#include "injector/warning.h"

enum answer { ANSWER_NONE, ANSWER_YES, ANSWER_NO, ANSWER_NEITHER };

/* Istio reads its own as YAML would. */
static const struct {
    const char *word;
    enum answer answer;
    bool istio_only;
} words[] = {
    {"enabled", ANSWER_YES, false}, {"true", ANSWER_YES, false}, {"disabled", ANSWER_NO, false},
    {"false", ANSWER_NO, false},    {"y", ANSWER_YES, true},     {"yes", ANSWER_YES, true},
    {"on", ANSWER_YES, true},       {"n", ANSWER_NO, true},      {"no", ANSWER_NO, true},
    {"off", ANSWER_NO, true},
};

static enum answer read_answer(const char *text, bool istio)
{
    if (!text)
        return ANSWER_NONE;
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i].word) == 0 && (istio || !words[i].istio_only))
            return words[i].answer;
    }
    return ANSWER_NEITHER;
}

static enum answer ask(const struct pod *pod, struct err *err)
{
    const struct {
        json_t *map;
        const char *what, *name;
        bool istio;
    } places[] = {{pod->labels, "label", CHOICE_INJECT, false},
                  {pod->annotations, "annotation", CHOICE_INJECT, false},
                  {pod->labels, "label", CHOICE_INJECT_ALIAS, true},
                  {pod->annotations, "annotation", CHOICE_INJECT_ALIAS, true}};
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *text = pod_text(places[i].map, places[i].name);
        enum answer answer = read_answer(text, places[i].istio);
        char shown[80];
        if (answer == ANSWER_NEITHER)
            err_set(err, ERR_INVALID,
                    "%s %s: '%s' is not valid: expected enabled or disabled, true or false",
                    places[i].what, places[i].name, value_printable(text, shown, sizeof shown));
        if (answer != ANSWER_NONE)
            return answer;
    }
    return ANSWER_YES;
}

static bool is_windows(const struct pod *pod)
{
    const char *os = pod_text(json_object_get(pod->spec, "os"), "name");
    const char *node = pod_text(json_object_get(pod->spec, "nodeSelector"), "kubernetes.io/os");
    return (os && strcmp(os, "windows") == 0) || (node && strcmp(node, "windows") == 0);
}

static bool is_injected(const struct pod *pod)
{
    struct pod_container found;
    return json_object_get(pod->annotations, CHOICE_STATUS) &&
           pod_find_container(pod, SIDECAR_PROXY, &found);
}

enum inject_outcome consent_ask(const struct pod *pod, json_t *warnings, struct err *err)
{
    enum answer answer = ask(pod, err);
    if (answer == ANSWER_NEITHER)
        return INJECT_REFUSED;
    if (answer == ANSWER_NO)
        return INJECT_OPTED_OUT;
    if (is_injected(pod))
        return INJECT_ALREADY;
    /* The kubelet runs what the file on its disk says, whatever the API server has. */
    if (json_object_get(pod->annotations, "kubernetes.io/config.mirror"))
        return INJECT_STATIC_POD;
    if (json_is_true(json_object_get(pod->spec, "hostNetwork"))) {
        warning_add(warnings, "no sidecar: the pod uses its node's network (hostNetwork), which "
                              "cannot be captured; it talks as if outside of the mesh");
        return INJECT_HOST_NETWORK;
    }
    if (is_windows(pod)) {
        warning_add(warnings, "no sidecar: this is a Windows pod, and the proxy runs on Linux");
        return INJECT_WINDOWS;
    }
    return INJECT_DONE;
}
