/* kube_request: a call whose answer is collected and parsed; declared in client.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/buffer.h"
#include "kube/call.h"
#include "kube/json.h"

struct request {
    struct kube_buffer body;
    int status;
    int64_t retry_after_s;
    kube_on_answer on_answer;
    void *arg;
};

static void on_head(struct kube_call *call, int status, int64_t retry_after_s, void *arg)
{
    struct request *request = arg;
    (void)call;
    request->status = status;
    request->retry_after_s = retry_after_s;
}

static void on_bytes(struct kube_call *call, const void *bytes, size_t len, void *arg)
{
    struct request *request = arg;
    struct err err;
    if (kube_buffer_add(&request->body, bytes, len))
        return;
    err_set(&err, ERR_TOO_LARGE, "the answer has more than %d bytes", KUBE_ANSWER_MAX);
    kube_call_fail(call, &err);
}

static void on_end(const struct err *err, void *arg)
{
    struct request *request = arg;
    struct kube_answer answer = {0};
    if (err->code == ERR_OK) {
        answer.status = request->status;
        answer.retry_after_s = request->retry_after_s;
        if (request->body.len > 0)
            answer.body = kube_json_load(request->body.bytes, request->body.len, NULL);
    }
    kube_buffer_deinit(&request->body); /* before somebody takes his time over the answer */
    request->on_answer(&answer, err, request->arg);
    json_decref(answer.body);
    free(request);
}

/* A request that is cancelled must free its own memory: it hangs on the call. */
static void on_drop(void *arg)
{
    struct request *request = arg;
    kube_buffer_deinit(&request->body);
    free(request);
}

struct kube_call *kube_request(struct kube_client *client, const char *method, const char *path,
                               const char *content_type, json_t *body, int64_t timeout_ms,
                               kube_on_answer on_answer, void *arg, struct err *err)
{
    static const struct kube_call_events events = {
        .on_head = on_head, .on_bytes = on_bytes, .on_end = on_end, .on_drop = on_drop};
    struct kube_call_spec spec = {.method = method,
                                  .path = path,
                                  .content_type = content_type,
                                  .timeout_ms = timeout_ms,
                                  .events = &events};
    struct request *request = calloc(1, sizeof *request);
    if (body)
        spec.body = json_dumps(body, JSON_COMPACT);
    spec.body_len = spec.body ? strlen(spec.body) : 0;
    if (!request || (body && !spec.body)) {
        err_set(err, ERR_NO_MEMORY, "no memory for a request");
        free(spec.body);
        free(request);
        json_decref(body);
        return NULL;
    }
    json_decref(body);
    *request = (struct request){.body.max = KUBE_ANSWER_MAX, .on_answer = on_answer, .arg = arg};
    spec.arg = request;
    struct kube_call *call = kube_call_start(client, &spec, err);
    if (!call)
        free(request);
    return call;
}

const char *kube_status_message(const json_t *body, char *text, size_t size)
{
    const char *kind = json_string_value(json_object_get(body, "kind"));
    const json_t *message = json_object_get(body, "message");
    size_t len = 0;
    if (kind && strcmp(kind, "Status") == 0 && json_is_string(message)) {
        const char *from = json_string_value(message);
        for (; len + 1 < size && from[len]; len++)
            text[len] = (unsigned char)from[len] < 0x20 || from[len] == 0x7f ? ' ' : from[len];
    }
    text[len] = 0;
    return text;
}
