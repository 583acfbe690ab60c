/* text.h - text without libc: the preload library may be asked before libc is ready, or from a signal. */
#ifndef VELO_CORE_TEXT_H
#define VELO_CORE_TEXT_H

#include <stddef.h>

static inline size_t velo_length(const char *text)
{
    size_t length = 0;
    while (text[length] != 0)
        length++;
    return length;
}

#endif
