/* syscall_scan.c - finding raw system calls in machine code.
 *
 * The two bytes of `syscall` also occur inside other instructions: 700 times in a 100 MB library
 * that has none. So each pair is held against the instructions around it: they are read from the
 * beginning of the function, which the unwind table tells, or, without one, from a few bytes
 * before. What counts is the number that is loaded into eax on the way. A number that is not to be
 * seen may be any, so it counts too. */
#include "syscall_scan.h"
#include "x86_decode.h"

#if defined(__x86_64__)
#include <emmintrin.h>

#define NEAR_BYTES 96u   /* before a system call: where its number is loaded */
#define BLIND_BYTES 48u  /* the same, where no function's beginning is known */
#define FUNCTION_BYTES_MAX 65536u
#define SMALL_BYTES 65536 /* of a text where two bytes out of place are no coincidence */

/* ---- the beginning of a function ------------------------------------------------------------- */

/* .eh_frame_hdr as every linker writes it: a sorted table of 32-bit offsets from its own start. */
struct frame_table {
    unsigned char version, pointer_encoding, count_encoding, table_encoding;
    int32_t frames;
    uint32_t count;
    struct {
        int32_t function, description;
    } entry[];
};

static bool is_usual(const struct frame_table *table)
{
    return table != NULL && table->version == 1 && table->count_encoding == 0x03 &&
           table->table_encoding == 0x3b && table->count > 0;
}

static const unsigned char *entry_of(const struct velo_text *text, uint32_t index)
{
    const struct frame_table *table = (const void *)text->frames;
    return text->frames + table->entry[index].function;
}

/* Linkers put constants into the same segment, behind the functions. */
static bool is_behind_code(const struct velo_text *text, const unsigned char *at)
{
    const struct frame_table *table = (const void *)text->frames;
    return is_usual(table) && at > entry_of(text, table->count - 1) + FUNCTION_BYTES_MAX;
}

/* Where the function that holds `at` begins, or NULL. */
static const unsigned char *function_of(const struct velo_text *text, const unsigned char *at)
{
    const struct frame_table *table = (const void *)text->frames;
    if (!is_usual(table))
        return NULL;
    uint32_t low = 0, high = table->count;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (entry_of(text, middle) <= at)
            low = middle;
        else
            high = middle;
    }
    const unsigned char *start = entry_of(text, low);
    uint32_t size;
    memcpy(&size, text->frames + table->entry[low].description + 12, sizeof size);
    return start >= text->start && start <= at && at < start + size ? start : NULL;
}

/* ---- what is in eax -------------------------------------------------------------------------- */

enum { COMPUTED = -1 };

/* What is known of the registers, instruction by instruction: numbers that were loaded as such. */
struct registers {
    long value[16];
    const unsigned char *named; /* the last load of a number that names files into eax, or NULL */
    const unsigned char *pushed; /* the last instruction, when it pushed a byte, else NULL */
    bool fourth; /* r10 was written: a system call takes its fourth argument there */
};

static bool is_routed(long number)
{
    return number == COMPUTED || (number >= 0 && number < VELO_NUMBERS_MAX &&
                                  velo_syscall_is_routed[number] == VELO_ROUTED_FILES);
}

static void set(struct registers *is, unsigned which, long number, const unsigned char *code)
{
    is->value[which] = number;
    is->fourth |= which == 10;
    if (which == 0 && number != COMPUTED && is_routed(number))
        is->named = code;
}

/* The instructions that compilers put numbers into registers with; of all others those that write
 * a register as their ModRM's first operand are taken for computing something. */
static void track(struct registers *is, const unsigned char *code, size_t length)
{
    const unsigned char *at = code;
    while (*at == 0x66 || *at == 0xf2 || *at == 0xf3)
        at++;
    const unsigned rex = (*at & 0xf0) == 0x40 ? *at++ : 0u;
    const unsigned into = (at[1] >> 3 & 7u) | (rex & 4u) << 1, memory = (at[1] & 7u) | (rex & 1u)
                                                                                           << 3;
    int32_t number = 0;
    if (length >= 5)
        memcpy(&number, code + length - 4, sizeof number);
    if (at[0] >= 0xb8 && at[0] <= 0xbf && length <= 6)
        set(is, (at[0] & 7u) | (rex & 1u) << 3, number, code);
    else if (at[0] == 0xc7 && (at[1] & 0xf8) == 0xc0)
        set(is, memory, number, code);
    else if ((at[0] & 0xfd) == 0x31 && at[1] >= 0xc0 && into == memory)
        set(is, into, 0, code);
    else if (at[0] == 0x89 && at[1] >= 0xc0)
        set(is, memory, is->value[into], code);
    else if (at[0] == 0x8b && at[1] >= 0xc0)
        set(is, into, is->value[memory], code);
    else if (at[0] == 0x8b || at[0] == 0x63 || at[0] == 0x8d)
        set(is, into, COMPUTED, code);
    else if (at[0] == 0x0f && ((at[1] & 0xf6) == 0xb6 || (at[1] & 0xf0) == 0x40))
        set(is, (at[2] >> 3 & 7u) | (rex & 4u) << 1, COMPUTED, code);
    else if (at[0] == 0x58 && rex == 0) /* push $number; pop. Other pops are a branch's way out */
        set(is, 0, is->pushed != NULL ? is->pushed[1] : COMPUTED, code);
    is->pushed = at[0] == 0x6a ? at : NULL;
}

/* Read instructions from `start`; true when one begins exactly at `syscall_at`. */
static bool reaches(const unsigned char *start, const unsigned char *syscall_at,
                    const unsigned char *end, struct registers *is)
{
    for (unsigned i = 0; i < 16; i++)
        is->value[i] = COMPUTED;
    is->named = is->pushed = NULL;
    is->fourth = false;
    while (start < syscall_at) {
        const size_t length = velo_x86_length(start, end);
        if (length == 0)
            return false;
        track(is, start, length);
        start += length;
    }
    return start == syscall_at;
}

/* Any load of such a number nearby counts, because branches meet. */
static bool may_name_files(const struct registers *is, const unsigned char *syscall_at)
{
    return is_routed(is->value[0]) || (is->named != NULL && syscall_at - is->named <= NEAR_BYTES);
}

/* No function is known here, so the bytes before may be anything: only code that loads a number,
 * or all the registers that a system call with any number takes, is believed. */
static bool blind_syscall(const struct velo_text *text, const unsigned char *syscall_at)
{
    struct registers is;
    if (text->end - text->start <= SMALL_BYTES)
        return true;
    for (size_t back = 2; back <= BLIND_BYTES && back + 2 <= (size_t)(syscall_at - text->start);
         back++)
        if (reaches(syscall_at - back, syscall_at, text->end, &is) &&
            (is.named != NULL || (is.fourth && is.value[0] == COMPUTED)))
            return true;
    return false;
}

static bool syscall_names_files(const struct velo_text *text, const unsigned char *syscall_at)
{
    struct registers is;
    const unsigned char *start = function_of(text, syscall_at);
    if (start != NULL && (size_t)(syscall_at - start) <= FUNCTION_BYTES_MAX)
        return reaches(start, syscall_at, text->end, &is) && may_name_files(&is, syscall_at);
    return !is_behind_code(text, syscall_at) && blind_syscall(text, syscall_at);
}

/* ---- the search ------------------------------------------------------------------------------ */

/* Bit i: the two bytes at at + i are the instruction. Reads 17 bytes. */
static unsigned candidates(const unsigned char *at)
{
    const __m128i first = _mm_loadu_si128((const void *)at);
    const __m128i second = _mm_loadu_si128((const void *)(at + 1));
    const __m128i both = _mm_and_si128(_mm_cmpeq_epi8(first, _mm_set1_epi8(0x0f)),
                                       _mm_cmpeq_epi8(second, _mm_set1_epi8(0x05)));
    return (unsigned)_mm_movemask_epi8(both);
}

bool velo_text_names_files(const struct velo_text *text)
{
    const unsigned char *at = text->start;
    for (; text->end - at >= 17; at += 16)
        for (unsigned found = candidates(at); found != 0; found &= found - 1)
            if (syscall_names_files(text, at + __builtin_ctz(found)))
                return true;
    for (; text->end - at >= 2; at++)
        if (at[0] == 0x0f && at[1] == 0x05 && syscall_names_files(text, at))
            return true;
    return false;
}

#else

/* Instructions are words here, so nothing looks like `svc #0` by chance. Its number is in x8. */
#define CALL 0xd4000001u
#define NEAR_WORDS 16

static bool syscall_names_files(const uint32_t *first, const uint32_t *syscall_at)
{
    for (int back = 1; back <= NEAR_WORDS && syscall_at - back >= first; back++) {
        const uint32_t word = syscall_at[-back];
        if ((word & 0x7fe0001fu) != 0x52800008u) /* movz x8, number */
            continue;
        const uint32_t number = word >> 5 & 0xffff;
        return number < VELO_NUMBERS_MAX && velo_syscall_is_routed[number] == VELO_ROUTED_FILES;
    }
    return true;
}

bool velo_text_names_files(const struct velo_text *text)
{
    const uint32_t *first = (const uint32_t *)(((uintptr_t)text->start + 3) & ~(uintptr_t)3);
    for (const uint32_t *at = first; (const unsigned char *)(at + 1) <= text->end; at++)
        if (*at == CALL && syscall_names_files(first, at))
            return true;
    return false;
}

#endif
