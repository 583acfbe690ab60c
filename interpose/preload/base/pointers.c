/* pointers.c - asks the kernel about a page once, and remembers the answer.
 *
 * Pages, not addresses: memory is mapped and protected by pages. What is remembered belongs to the process,
 * as its memory does, so threads and vfork children share it. It ends when the program maps, unmaps or
 * protects that page (wrap/map.c). What libc unmaps for itself (stacks of threads, large blocks) is not
 * seen: a pointer into such a block that was free'd may still end the program.
 *
 * Two system calls answer without doing anything else:
 *   read   rt_sigprocmask reads the new mask before it refuses an unknown `how`
 *   write  futex FUTEX_WAKE_OP adds 0 to a word, and wakes no thread
 * Rejected: process_vm_readv and writev of our own memory, which take three times as long and are refused
 * by the filters of containers; mincore, which knows no rights; write(2) to a pipe, which needs two
 * descriptors. */
#include "pointers.h"

#include <linux/futex.h>

#include "kernel/sys.h"

#define PAGE 4096ul /* or larger: then some pages are asked about more than once */
#define PAGES_MAX 512u
#define MASK_BYTES 8

enum { READABLE = 1, WRITABLE = 2 };

/* By page number: the page's address and what may be done there. */
static _Atomic uintptr_t known[PAGES_MAX];

static _Atomic uintptr_t *slot_of(uintptr_t page)
{
    return &known[page / PAGE % PAGES_MAX];
}

static bool is_known(uintptr_t page, uintptr_t right)
{
    const uintptr_t seen = atomic_load_explicit(slot_of(page), memory_order_relaxed);
    return (seen & -PAGE) == page && (seen & right) != 0;
}

static bool asks_to_read(uintptr_t page)
{
    const int no_such_how = -1;
    return velo_sys4(SYS_rt_sigprocmask, no_such_how, (long)page, 0, MASK_BYTES) == -EFAULT;
}

/* The comparison, with a value that is hardly ever there, decides about waking threads that wait at the word. */
#define ADD_NOTHING FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0x800)

static bool asks_to_write(uintptr_t page)
{
    static uint32_t nobody_waits;
    return velo_sys6(SYS_futex, velo_word(&nobody_waits), FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0,
                     (long)page, (long)ADD_NOTHING) == -EFAULT;
}

/* An answer other than EFAULT says nothing about the page (a filter may refuse the call): the page counts as there. */
static bool cannot(uintptr_t page, uintptr_t right)
{
    if (__builtin_expect(is_known(page, right), 1))
        return false;
    if (right == READABLE ? asks_to_read(page) : asks_to_write(page))
        return true;
    const uintptr_t rights = right == READABLE ? READABLE : READABLE | WRITABLE;
    atomic_store_explicit(slot_of(page), page | rights, memory_order_relaxed);
    return false;
}

static bool cannot_range(const volatile void *at, size_t size, uintptr_t right)
{
    if (velo_is_nowhere(at))
        return true;
    const uintptr_t start = (uintptr_t)at, last = start + size - 1;
    if (last < start)
        return true;
    for (uintptr_t page = start & -PAGE; page <= last; page += PAGE)
        if (cannot(page, right))
            return true;
    return false;
}

bool velo_cannot_read(const volatile void *at, size_t size)
{
    return cannot_range(at, size, READABLE);
}

bool velo_cannot_write(volatile void *at, size_t size)
{
    return cannot_range(at, size, WRITABLE);
}

bool velo_cannot_read_text(const char *text)
{
    if (velo_is_nowhere(text))
        return true;
    for (size_t seen = 0; seen < PATH_MAX;) {
        const uintptr_t at = (uintptr_t)text + seen;
        const size_t rest = PAGE - at % PAGE;
        if (cannot(at & -PAGE, READABLE))
            return true;
        if (strnlen(text + seen, rest) < rest)
            return false;
        seen += rest;
    }
    return false;
}

void velo_forget_pages(const volatile void *at, size_t size)
{
    const uintptr_t first = (uintptr_t)at & -PAGE;
    const size_t pages = size / PAGE + 2;
    for (size_t i = 0; i < pages && i < PAGES_MAX; i++)
        atomic_store_explicit(slot_of(first + i * PAGE), 0, memory_order_relaxed);
}
