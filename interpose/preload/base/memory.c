/* memory.c - the functions that compilers call to copy and set memory, for this library alone.
 *
 * Sanitizers stand in front of libc's memcpy and note each of its writes. They know nothing of the
 * arena's lock. So ThreadSanitizer took two of our threads, each writing under the lock, for a race of
 * the program's and ended it with status 66. Hidden functions of our own are not seen, as the rest of
 * our code is not.
 *
 * Only writers are here: a race needs one. Paths and names are short, so the words of 16 bytes that
 * every machine has are enough; a loop is kept from being recognised as a call of itself. */
#include <stddef.h>
#include <string.h>

#define WORD_BYTES 16u
#define HIDDEN __attribute__((visibility("hidden"), used))
/* The compiler may not know what `value` is now. */
#define FORGET(value) __asm__("" : "+r"(value))

struct word {
    unsigned char bytes[WORD_BYTES];
};

static inline struct word load(const unsigned char *from)
{
    struct word word;
    __builtin_memcpy(&word, from, sizeof word);
    return word;
}

static inline void store(unsigned char *to, struct word word)
{
    __builtin_memcpy(to, &word, sizeof word);
}

/* All of a short piece is loaded before any of it is stored, so the two may overlap. */
static inline void copy_short(unsigned char *to, const unsigned char *from, size_t size)
{
    unsigned long long first, last;
    unsigned begin, end;
    if (size >= 8) {
        __builtin_memcpy(&first, from, 8);
        __builtin_memcpy(&last, from + size - 8, 8);
        __builtin_memcpy(to, &first, 8);
        __builtin_memcpy(to + size - 8, &last, 8);
    } else if (size >= 4) {
        __builtin_memcpy(&begin, from, 4);
        __builtin_memcpy(&end, from + size - 4, 4);
        __builtin_memcpy(to, &begin, 4);
        __builtin_memcpy(to + size - 4, &end, 4);
    } else if (size > 0) {
        const unsigned char a = from[0], b = from[size / 2], c = from[size - 1];
        to[0] = a;
        to[size / 2] = b;
        to[size - 1] = c;
    }
}

static inline void copy_up(unsigned char *to, const unsigned char *from, size_t size)
{
    const struct word last = load(from + size - WORD_BYTES);
    for (size_t at = 0; at < size - WORD_BYTES; at += WORD_BYTES) {
        store(to + at, load(from + at));
        FORGET(at);
    }
    store(to + size - WORD_BYTES, last);
}

static inline void copy_down(unsigned char *to, const unsigned char *from, size_t size)
{
    const struct word first = load(from);
    for (size_t at = size; at > WORD_BYTES; at -= WORD_BYTES) {
        store(to + at - WORD_BYTES, load(from + at - WORD_BYTES));
        FORGET(at);
    }
    store(to, first);
}

HIDDEN void *memmove(void *to, const void *from, size_t size)
{
    if (size < WORD_BYTES)
        copy_short(to, from, size);
    else if ((size_t)to - (size_t)from >= size)
        copy_up(to, from, size);
    else
        copy_down(to, from, size);
    return to;
}

HIDDEN void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    if (size < WORD_BYTES)
        copy_short(to, from, size);
    else
        copy_up(to, from, size);
    return to;
}

HIDDEN void *memset(void *to, int value, size_t size)
{
    unsigned char *bytes = to;
    struct word word;
    for (unsigned i = 0; i < WORD_BYTES; i++)
        word.bytes[i] = (unsigned char)value;
    size_t at = 0;
    for (; size - at >= WORD_BYTES; at += WORD_BYTES) {
        store(bytes + at, word);
        FORGET(at);
    }
    copy_short(bytes + at, word.bytes, size - at);
    return to;
}
