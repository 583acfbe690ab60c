/* text.h - text without libc: the preload library may be asked before libc is ready, or from a signal. */
#ifndef VELO_CORE_TEXT_H
#define VELO_CORE_TEXT_H

#include <stddef.h>
#include <stdint.h>

static inline size_t velo_length(const char *text)
{
    size_t length = 0;
    while (text[length] != 0)
        length++;
    return length;
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
