/* text.h - text without libc: the preload library may be asked before libc is ready, or from a signal. */
#ifndef VELO_CORE_TEXT_H
#define VELO_CORE_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Calls no function of libc's: the loader may be at work still (preload/base/objects.c). */
static inline int velo_begins(const char *text, const char *with)
{
    while (*with != 0 && *text == *with) {
        text++;
        with++;
    }
    return *with == 0;
}

/* The last component of a path, as it stands. */
static inline const char *velo_base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* `starts` ends with NULL. */
static inline int velo_begins_like_one_of(const char *text, const char *const starts[])
{
    for (; *starts != NULL; starts++)
        if (velo_begins(text, *starts))
            return 1;
    return 0;
}

/* `texts` ends with NULL. */
static inline int velo_is_one_of(const char *text, const char *const texts[])
{
    for (; *texts != NULL; texts++)
        if (strcmp(text, *texts) == 0)
            return 1;
    return 0;
}

/* Spreads well enough to index tables by; another seed is another function. */
static inline uint64_t velo_text_hash(uint64_t seed, const char *text, size_t length)
{
    const uint64_t mix = 0x9e3779b97f4a7c15ull;
    uint64_t hash = (seed + 1) * mix ^ length;
    while (length > 0) {
        uint64_t word = 0;
        const size_t part = length < 8 ? length : 8;
        memcpy(&word, text, part);
        hash = (hash ^ word) * mix;
        hash ^= hash >> 29;
        text += part;
        length -= part;
    }
    return hash * mix;
}

/* The number whose digits stand at `text`; 0: there are none. */
static inline uint64_t velo_read_decimal(const char *text)
{
    uint64_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (uint64_t)(*text - '0');
    return value;
}

/* Are there so many small hexadecimal digits? */
static inline int velo_read_hex(const char *text, size_t digits, uint64_t *value)
{
    *value = 0;
    for (; digits > 0; digits--, text++) {
        if (!((*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'f')))
            return 0;
        *value = *value << 4 | (uint64_t)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
    }
    return 1;
}

#define VELO_HEX_MAX 65 /* digits of a digest, and the NUL */

/* Writes `count` bytes in hexadecimal and a NUL; where the NUL is. */
static inline char *velo_write_hex(char *out, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *out++ = "0123456789abcdef"[bytes[i] >> 4];
        *out++ = "0123456789abcdef"[bytes[i] & 15];
    }
    *out = 0;
    return out;
}

#define VELO_DECIMAL_MAX 21 /* digits of the largest number, and the NUL */

/* Writes `value` and a NUL; how many digits. */
static inline size_t velo_write_decimal(char *out, uint64_t value)
{
    char reversed[VELO_DECIMAL_MAX];
    size_t count = 0, length = 0;
    do
        reversed[count++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    while (count > 0)
        out[length++] = reversed[--count];
    out[length] = 0;
    return length;
}

#endif
