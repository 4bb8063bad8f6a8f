#include "mesh/check.h"

#include <string.h>

#include "mesh/workload.h"

enum { SEGMENT_MAX = 253, TRUST_DOMAIN_MAX = 255 };

enum err_code mesh_check_text(const char *field, const char *text, struct err *err)
{
    size_t len = text ? strlen(text) : 0;
    if (len > MESH_TEXT_MAX)
        return err_set(err, ERR_XDS_RESOURCE, "%s is %zu bytes long, at most %d are allowed", field,
                       len, MESH_TEXT_MAX);
    return ERR_OK;
}

enum err_code mesh_check_texts(const char *field, const char *const *texts, size_t count,
                               size_t max, struct err *err)
{
    enum err_code code = mesh_check_count(field, count, max, err);
    for (size_t i = 0; i < count && !code; i++)
        code = mesh_check_text(field, texts[i], err);
    return code;
}

enum err_code mesh_check_count(const char *field, size_t count, size_t max, struct err *err)
{
    if (count > max)
        return err_set(err, ERR_XDS_RESOURCE, "%s has %zu entries, at most %zu are allowed", field,
                       count, max);
    return ERR_OK;
}

enum err_code mesh_check_segment(const char *field, const char *text, struct err *err)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = text ? strlen(text) : 0;
    if (len == 0)
        return err_set(err, ERR_XDS_RESOURCE, "%s is empty", field);
    if (len > SEGMENT_MAX || text[strspn(text, allowed)] || strcmp(text, ".") == 0 ||
        strcmp(text, "..") == 0)
        return err_set(err, ERR_XDS_RESOURCE, "%s `%.64s` cannot stand in a SPIFFE ID", field,
                       text);
    return ERR_OK;
}

enum err_code mesh_check_trust_domain(const char *field, const char *text, struct err *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    if (!text || !*text)
        return err_set(err, ERR_XDS_RESOURCE, "%s is empty", field);
    if (strlen(text) > TRUST_DOMAIN_MAX || text[strspn(text, allowed)])
        return err_set(err, ERR_XDS_RESOURCE, "%s `%.64s` is not a trust domain", field, text);
    return ERR_OK;
}
