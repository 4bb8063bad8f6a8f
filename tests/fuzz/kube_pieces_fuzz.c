/* Lists and watches of the API server: the pieces do not depend on how the bytes arrive, and each
 * is handed to the parser whole. */
#include "fuzz.h"
#include "kube/cutter.h"
#include "kube/json.h"

struct heard {
    uint64_t sum; /* of the pieces, in their order */
    unsigned pieces;
};

static bool on_piece(void *arg, const char *bytes, size_t len)
{
    struct heard *heard = arg;
    json_error_t error;
    for (size_t i = 0; i < len; i++)
        heard->sum = heard->sum * 1099511628211u + (unsigned char)bytes[i];
    heard->pieces++;
    json_decref(kube_json_load(bytes, len, &error));
    return true;
}

static enum err_code cut(enum kube_cutter_kind kind, const uint8_t *data, size_t len, size_t chunk,
                         struct heard *heard)
{
    struct kube_cutter cutter;
    struct err err = {0};
    enum err_code code = ERR_OK;
    kube_cutter_init(&cutter, kind, on_piece, heard);
    for (size_t at = 0; at < len && code == ERR_OK; at += chunk)
        code = kube_cutter_feed(&cutter, (const char *)data + at,
                                len - at < chunk ? len - at : chunk, &err);
    CLAIM(code == ERR_OK || err.text[0]);
    kube_cutter_deinit(&cutter);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    for (int kind = KUBE_CUTTER_STREAM; kind <= KUBE_CUTTER_LIST; kind++) {
        struct heard whole = {0}, bytewise = {0};
        enum err_code code = cut((enum kube_cutter_kind)kind, data, len, len ? len : 1, &whole);
        CLAIM(cut((enum kube_cutter_kind)kind, data, len, 1, &bytewise) == code);
        CLAIM(whole.pieces == bytewise.pieces && whole.sum == bytewise.sum);
    }
    return 0;
}
