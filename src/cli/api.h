/* The API server, for a verb that asks one question after the other: every call runs the loop until
 * the answer or the deadline is there. One thread; nothing runs between calls. */
#ifndef API_H
#define API_H

#include <jansson.h>

#include "base/err.h"

enum { API_TIMEOUT_MS = 15000 }; /* for one call, the connection included */

#define API_NAMESPACE_DEFAULT "handfast-system"

struct api;

struct api_answer {
    int status;   /* of HTTP */
    json_t *body; /* NULL when it was no JSON */
};

/* Reads where the cluster is and starts connecting: from `kubeconfig`; when that is NULL, from the
 * first file that KUBECONFIG names, from ~/.kube/config, or from what every pod has. Close with
 * api_close. ERR_NOT_FOUND when there is none of these, and what kube_config_file and
 * kube_client_new say. */
enum err_code api_open(struct api **out, const char *kubeconfig, struct err *err);
void api_close(struct api *api);

/* "https://host:port", for people; borrowed. */
const char *api_server(const struct api *api);

/* One request; ERR_OK with any status, and then the caller owes `out` an api_answer_deinit. `body`
 * may be NULL and is taken, also on failure; `content_type` NULL is application/json. */
enum err_code api_call(struct api *api, const char *method, const char *path,
                       const char *content_type, json_t *body, struct api_answer *out,
                       struct err *err);
enum err_code api_get(struct api *api, const char *path, struct api_answer *out, struct err *err);
enum err_code api_post(struct api *api, const char *path, json_t *body, struct api_answer *out,
                       struct err *err);
enum err_code api_put(struct api *api, const char *path, json_t *body, struct api_answer *out,
                      struct err *err);
/* A merge patch (RFC 7386). */
enum err_code api_patch(struct api *api, const char *path, json_t *body, struct api_answer *out,
                        struct err *err);
void api_answer_deinit(struct api_answer *answer);

/* What the server says when it says no, as an error with the path in it; `answer` has a status that
 * is not 2xx. ERR_NOT_FOUND for 404, ERR_PERMISSION for 401 and 403, else ERR_RPC_STATUS. */
enum err_code api_refused(const struct api_answer *answer, const char *path, struct err *err);

/* As api_get, and any status but 2xx is the error of api_refused. The body is the caller's. */
enum err_code api_read(struct api *api, const char *path, json_t **body, struct err *err);

/* The pods of the control plane in `ns`, by the chart's labels: a PodList, the caller's. */
enum err_code api_control_pods(struct api *api, const char *ns, json_t **list, struct err *err);
/* GET of a path on port 15014 of a pod of ours, through the API server. */
enum err_code api_control_get(struct api *api, const char *ns, const char *pod, const char *path,
                              struct api_answer *out, struct err *err);

#endif
