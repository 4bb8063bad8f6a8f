/* Bytes that grow up to a ceiling given at birth. One thread. */
#ifndef KUBE_BUFFER_H
#define KUBE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct kube_buffer {
    char *bytes;
    size_t len, size, max; /* a zeroed one with `max` set is empty */
};

/* Appends. False when it would be longer than the ceiling, or out of memory: unchanged then. */
bool kube_buffer_add(struct kube_buffer *buffer, const void *bytes, size_t len);
/* Empties it; keeps little memory. */
void kube_buffer_clear(struct kube_buffer *buffer);
void kube_buffer_deinit(struct kube_buffer *buffer);

#endif
