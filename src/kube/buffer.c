#include "kube/buffer.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 4096, KEPT_BYTES = 64 << 10 };

bool kube_buffer_add(struct kube_buffer *buffer, const void *bytes, size_t len)
{
    if (len > buffer->max - buffer->len)
        return false;
    if (buffer->len + len > buffer->size) {
        size_t size = buffer->size ? buffer->size : FIRST_BYTES;
        while (size < buffer->len + len)
            size *= 2;
        char *grown = realloc(buffer->bytes, size);
        if (!grown)
            return false;
        buffer->bytes = grown;
        buffer->size = size;
    }
    if (len > 0)
        memcpy(buffer->bytes + buffer->len, bytes, len);
    buffer->len += len;
    return true;
}

void kube_buffer_clear(struct kube_buffer *buffer)
{
    buffer->len = 0;
    if (buffer->size > KEPT_BYTES)
        kube_buffer_deinit(buffer);
}

void kube_buffer_deinit(struct kube_buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct kube_buffer){.max = buffer->max};
}
