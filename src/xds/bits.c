#include "xds/bits.h"

#include <stdlib.h>
#include <string.h>

void xds_bits_deinit(struct xds_bits *bits)
{
    free(bits->words);
    *bits = (struct xds_bits){0};
}

bool xds_bits_set(struct xds_bits *bits, uint32_t number)
{
    size_t word = number / 64;
    if (word >= bits->word_count) {
        size_t count = bits->word_count ? bits->word_count * 2 : 4;
        if (count <= word)
            count = word + 1;
        uint64_t *words = realloc(bits->words, count * sizeof *words);
        if (!words)
            return false;
        memset(words + bits->word_count, 0, (count - bits->word_count) * sizeof *words);
        bits->words = words;
        bits->word_count = count;
    }
    uint64_t bit = UINT64_C(1) << (number % 64);
    bits->count += !(bits->words[word] & bit);
    bits->words[word] |= bit;
    return true;
}

bool xds_bits_has(const struct xds_bits *bits, uint32_t number)
{
    size_t word = number / 64;
    return word < bits->word_count && (bits->words[word] >> (number % 64) & 1);
}

void xds_bits_clear(struct xds_bits *bits, uint32_t number)
{
    if (!xds_bits_has(bits, number))
        return;
    bits->words[number / 64] &= ~(UINT64_C(1) << (number % 64));
    bits->count--;
}

int64_t xds_bits_next(const struct xds_bits *bits, uint64_t from)
{
    size_t word = (size_t)(from / 64);
    if (bits->count == 0 || word >= bits->word_count)
        return -1;
    uint64_t rest = bits->words[word] & (~UINT64_C(0) << (from % 64));
    while (rest == 0) {
        if (++word >= bits->word_count)
            return -1;
        rest = bits->words[word];
    }
    return (int64_t)(word * 64 + (size_t)__builtin_ctzll(rest));
}
