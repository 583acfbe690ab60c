/* preload.h - what every wrapper stands on: is this process attached, what comes after us, and
 * how an answer becomes a return value.
 *
 * Every wrapper keeps the five rules:
 * P1  not ours: one quick reject, then the real call, once, with the same arguments.
 * P2  errno changes only on failure.
 * P3  no malloc, stdio or lock (directory streams allocate, as libc's do).
 * P4  right in a signal handler, after fork and in a vfork child.
 * P5  our own calls (raw.h, the core) pass straight by all wrappers.
 *
 * Any wrapper may run before our constructor does: other libraries' constructors open files. So
 * the first call attaches the arena; a call that comes while we attach is passed on. */
#ifndef VELO_PRELOAD_PRELOAD_H
#define VELO_PRELOAD_PRELOAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/velo.h"

#define EXPORT __attribute__((visibility("default")))

/* A second name for an exported function of this file: same code, whatever the header's types say.
 * Assembler, because the alias attribute insists on equal types (struct stat and struct stat64). */
#if defined(__aarch64__)
#define VELO_FUNCTION "%function"
#else
#define VELO_FUNCTION "@function"
#endif
#define ALIAS(alias, function)                                                                     \
    __asm__(".globl " #alias "\n.type " #alias ", " VELO_FUNCTION "\n.set " #alias ", " #function)

/* ---- attachment ------------------------------------------------------------------------------ */
enum velo_attachment {
    VELO_FRESH = 0,
    VELO_ATTACHING = 1,
    VELO_ATTACHED = 2,
    VELO_OFF = 3,
    VELO_SUD = 4, /* attached, and raw system calls are handed over to us (sud.h) */
};

extern _Atomic int velo_attachment; /* released when the region is whole, acquired by velo_here */
extern struct velo_region velo_the_region;
struct velo_region *velo_attach_now(void);
/* In a watched process: the calling thread is watched from here on. Set before VELO_SUD is (sud.c).
   */
extern void (*velo_sud_begin_thread)(void);

/* The arena, or NULL: pass everything through. In a watched process the slow way, which also sees
 * to it that the calling thread is watched. */
static inline struct velo_region *velo_here(void)
{
    const int state = atomic_load_explicit(&velo_attachment, memory_order_acquire);
    if (__builtin_expect(state == VELO_ATTACHED, 1))
        return &velo_the_region;
    return state == VELO_OFF ? NULL : velo_attach_now();
}

/* For good: the kernel's idea of paths is no longer the arena's (chroot). */
void velo_switch_off(void);

/* 1 in a vfork child, which runs on its parent's memory: nothing that would be wrong in the parent
 * may be remembered. Set and put back by vfork itself (jump.c). */
extern _Thread_local int velo_vfork_child __attribute__((tls_model("initial-exec")));
#define VELO_VFORK_CHILD_LEFT 2 /* it is in a sandbox, and its parent is not (sandbox.c) */

/* What a child needs in its environment, kept from our own (environment.c). */
extern char velo_library_path[1024]; /* how the loader was told to find us; "" if unknown */
extern char velo_arena_assignment[256 + 16]; /* "VELO_ARENA=/dev/shm/..." */
extern char velo_arena_mark_assignment[VELO_MARK_BYTES]; /* for another user's programs */
extern uid_t velo_attached_as;                           /* the effective user, then */

/* ---- the next function ----------------------------------------------------------------------- */
void *velo_next_slow(_Atomic(void *) *slot, const char *name);

static inline void *velo_next(_Atomic(void *) *slot, const char *name)
{
    void *function = atomic_load_explicit(slot, memory_order_relaxed);
    return __builtin_expect(function != NULL, 1) ? function : velo_next_slow(slot, name);
}

/* The function of that name that we stand in front of: libc's, or another preload's. Looked up at
 * the first call. Only where a raw system call will not do (cancellation points, libc's own
 * structures). */
#define NEXT(function) NEXT_AS(function, __typeof__(function))
#define NEXT_AS(function, type)                                                                    \
    ({                                                                                             \
        static _Atomic(void *) slot_;                                                              \
        (type *)velo_next(&slot_, #function);                                                      \
    })

/* getenv for ourselves: it is no program that asks. */
static inline const char *velo_variable(const char *name)
{
    return NEXT(getenv)(name);
}

/* ---- what programs point at ------------------------------------------------------------------ */
/* The pointer, of which the compiler now knows nothing: it believes what libc's headers say of the
 * parameters of a function that we define (nonnull), also with -fno-delete-null-pointer-checks. */
static inline const volatile void *velo_as_given(const volatile void *pointer)
{
    __asm__("" : "+r"(pointer));
    return pointer;
}

/* Surely no memory of a program: NULL, a small number, the kernel's half of all addresses. Then it is
 * the kernel that says EFAULT. One comparison; whether there is memory behind what looks like a pointer
 * is known by pointers.h. */
static inline bool velo_is_nowhere(const volatile void *pointer)
{
#if defined(__aarch64__)
    const intptr_t tag_bits = 8; /* the hardware may ignore them (TBI), so we do */
#else
    const intptr_t tag_bits = 0;
#endif
    return (intptr_t)((uintptr_t)velo_as_given(pointer) << tag_bits) < (intptr_t)65536 << tag_bits;
}

/* ---- answers --------------------------------------------------------------------------------- */
/* A value or a negative errno, as libc returns it. */
static inline long velo_answer(long result)
{
    if (__builtin_expect(result >= 0, 1) || result < -4095)
        return result;
    errno = (int)-result;
    return -1;
}

#endif
