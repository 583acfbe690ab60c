/* wrap_symbol.c - dlsym and dlvsym: who asks libc itself for a function that we stand in front of gets
 * ours.
 *
 * Foreign-function interfaces (ctypes, cffi, fiddle, JNA) ask the handle of libc.so.6, where no preload
 * is in the way; dlvsym names a version, and our symbols have none.
 *
 * With RTLD_NEXT a wrapper of somebody else looks for what it wraps.  If it defines the name itself it
 * stands behind us: we call it for paths that are not hosted, and would be called back for ever; it gets
 * libc's, as without us.  One that only asks gets ours.
 *
 * Both functions tell their caller by the return address, so they are jumps: a hook looks at the
 * arguments and says either the answer or where to go on. */
#include <dlfcn.h>
#include <link.h>

#include "elf_symbols.h"
#include "preload.h"

typedef void *(*lookup)(void *handle, const char *name);
typedef void *(*lookup_version)(void *handle, const char *name, const char *version);

/* The hook's result, in two registers. */
struct said {
    void *value; /* the answer, or where to jump */
    long jump;
};

int dlsym_(void) __asm__("dlsym");
int dlvsym_(void) __asm__("dlvsym");

/* ---- libc's own ------------------------------------------------------------------------------ */

struct search {
    const char *name;
    uintptr_t found;
};

static int find_elsewhere(struct dl_phdr_info *info, size_t size, void *context)
{
    struct search *search = context;
    struct velo_object object;
    (void)size;
    if (velo_object_read(info, &object) &&
        !velo_object_holds(&object, (uintptr_t)&find_elsewhere))
        search->found = velo_object_find(&object, search->name);
    return search->found != 0;
}

/* libc's, or libdl's of a libc before 2.34. */
static void *real(_Atomic(void *) *slot, const char *name)
{
    void *function = atomic_load_explicit(slot, memory_order_relaxed);
    if (function != NULL)
        return function;
    const struct velo_object *libc = velo_libc_object();
    struct search search = {name, libc == NULL ? 0 : velo_object_find(libc, name)};
    if (search.found == 0)
        dl_iterate_phdr(find_elsewhere, &search);
    atomic_store_explicit(slot, (void *)search.found, memory_order_relaxed);
    return (void *)search.found;
}

static lookup real_dlsym(void)
{
    static _Atomic(void *) slot;
    return (lookup)real(&slot, "dlsym");
}

static lookup_version real_dlvsym(void)
{
    static _Atomic(void *) slot;
    return (lookup_version)real(&slot, "dlvsym");
}

void *velo_next_slow(_Atomic(void *) *slot, const char *name)
{
    void *function = real_dlsym()(RTLD_NEXT, name);
    atomic_store_explicit(slot, function, memory_order_relaxed);
    return function;
}

void *velo_symbol(void *handle, const char *name)
{
    return real_dlsym()(handle, name);
}

/* ---- who asks for the next ------------------------------------------------------------------- */

struct asker {
    uintptr_t caller;
    const char *name;
    bool past_us;     /* the search has come by ourselves */
    bool may_have_ours;
};

/* Objects come in the order in which they were loaded, which is the order of such a search. */
static int survey(struct dl_phdr_info *info, size_t size, void *context)
{
    struct asker *asker = context;
    struct velo_object object;
    (void)size;
    if (!velo_object_read(info, &object))
        return 0;
    if (velo_object_holds(&object, (uintptr_t)&survey))
        asker->past_us = true;
    if (!velo_object_holds(&object, asker->caller))
        return 0;
    asker->may_have_ours = asker->past_us && !velo_object_holds(&object, (uintptr_t)&survey) &&
                           velo_object_find(&object, asker->name) == 0;
    return 1;
}

/* Who comes before us finds us by itself, or what another one put in between. */
static bool may_have_ours(uintptr_t caller, const char *name)
{
    struct asker asker = {.caller = caller, .name = name};
    dl_iterate_phdr(survey, &asker);
    return asker.may_have_ours;
}

/* ---- the hook -------------------------------------------------------------------------------- */

static struct said go_on(bool with_version)
{
    return (struct said){with_version ? (void *)real_dlvsym() : (void *)real_dlsym(), 1};
}

/* `name` as we export it, or NULL. */
static void *ours(const char *name)
{
    if (velo_is_nowhere(name) || velo_libc_object() == NULL || velo_own_object() == NULL)
        return NULL;
    return (void *)velo_object_find(velo_own_object(), name);
}

static bool is_libcs(const void *function)
{
    return velo_object_holds(velo_libc_object(), (uintptr_t)function);
}

static struct said answer(void *handle, const char *name, const char *version, bool with_version,
                          uintptr_t caller)
{
    void *const mine = ours(name);
    if (mine == NULL || velo_here() == NULL)
        return go_on(with_version);
    if (handle == RTLD_NEXT)
        return may_have_ours(caller, name) ? (struct said){mine, 0} : go_on(with_version);
    const int saved = errno;
    const void *found = with_version ? real_dlvsym()(handle, name, version)
                                     : real_dlsym()(handle, name);
    errno = saved;
    /* What is not found is asked for once more by the caller itself, which dlerror then tells of. */
    return found == mine || (found != NULL && is_libcs(found)) ? (struct said){mine, 0}
                                                               : go_on(with_version);
}

__attribute__((used)) struct said velo_before_dlsym(void *handle, const char *name,
                                                    const char *unused, uintptr_t caller)
{
    (void)unused;
    return answer(handle, name, NULL, false, caller);
}

__attribute__((used)) struct said velo_before_dlvsym(void *handle, const char *name,
                                                     const char *version, uintptr_t caller)
{
    return answer(handle, name, version, true, caller);
}

#if defined(__x86_64__)

#define HOOK(name)                                                                                 \
    __asm__(".globl " #name "\n.type " #name ", @function\n" #name ":\n"                           \
            "    endbr64\n"                                                                        \
            "    push %rdi\n    push %rsi\n    push %rdx\n"                                        \
            "    mov 24(%rsp), %rcx\n"                                                             \
            "    call velo_before_" #name "\n"                                                     \
            "    mov %rdx, %rcx\n"                                                                 \
            "    pop %rdx\n    pop %rsi\n    pop %rdi\n"                                           \
            "    test %rcx, %rcx\n"                                                                \
            "    jnz 1f\n"                                                                         \
            "    ret\n"                                                                            \
            "1:  jmp *%rax\n"                                                                      \
            ".size " #name ", . - " #name "\n")

#elif defined(__aarch64__)

#define HOOK(name)                                                                                 \
    __asm__(".globl " #name "\n.type " #name ", %function\n" #name ":\n"                           \
            "    stp x29, x30, [sp, #-48]!\n"                                                      \
            "    mov x29, sp\n"                                                                    \
            "    stp x0, x1, [sp, #16]\n    str x2, [sp, #32]\n"                                   \
            "    mov x3, x30\n"                                                                    \
            "    bl velo_before_" #name "\n"                                                       \
            "    mov x16, x0\n"                                                                    \
            "    mov x17, x1\n"                                                                    \
            "    ldp x0, x1, [sp, #16]\n    ldr x2, [sp, #32]\n"                                   \
            "    ldp x29, x30, [sp], #48\n"                                                        \
            "    cbnz x17, 1f\n"                                                                   \
            "    mov x0, x16\n"                                                                    \
            "    ret\n"                                                                            \
            "1:  br x16\n"                                                                         \
            ".size " #name ", . - " #name "\n")

#endif

HOOK(dlsym);
HOOK(dlvsym);
