/* loader.c - dlopen and dlsym: libraries are on disk before they are loaded. A program that asks for one of
 * our functions by its name gets ours, also from the handle of libc itself.
 *
 * The loader looks at the return address of these for its caller: whose RUNPATH, whose successors
 * (RTLD_NEXT). So each jumps on with registers and stack as they came. Where we must see the answer,
 * the call returns through a `ret` in the caller's own code, to us.
 *
 * "past us" below tells which functions can be reached past us: such a process is opaque, for good or for
 * as long as that lasts. */
#include <dlfcn.h>

#include "preload/sud/sud.h"
#include "imports.h"
#include "preload/base/objects.h"
#include "preload/base/raw.h"
#include "preload/program/opaque.h"
#include "preload/replay/unit.h"

/* As the stub stored them, to be changed. */
struct loader_call {
#if defined(__x86_64__)
    long padding, r9, r8, rcx;
    const void *third, *second, *first;
    const unsigned char *caller;
#else
    const unsigned char *frame, *caller;
    const void *first, *second, *third;
#endif
};

/* Where to jump, and a `ret` of the caller's that leads to the function's `after`; NULL: straight to
 * the caller. */
struct way {
    void *function;
    const void *back;
};

struct way velo_before_dlopen(struct loader_call *call);
struct way velo_before_dlmopen(struct loader_call *call);
struct way velo_before_dlsym(struct loader_call *call);
struct way velo_before_dlvsym(struct loader_call *call);
void *velo_after_dlopen(void *handle, const char *path, long flags);
void *velo_after_dlsym(void *found, void *handle, const char *name);

/* ---- the way back ---------------------------------------------------------------------------- */

#if defined(__x86_64__)
#define RET 0xc3

/* With a shadow stack each `ret` must be where its call was. */
static bool has_shadow_stack(void)
{
    register uint64_t top __asm__("rax") = 0;
    __asm__ volatile(".byte 0xf3, 0x48, 0x0f, 0x1e, 0xc8"
                     : "+r"(top)); /* rdsspq: nothing where none is */
    return top != 0;
}

static const void *find_ret(const unsigned char *start, const unsigned char *end)
{
    while (start < end && *start != RET)
        start++;
    return start < end ? start : NULL;
}

/* A `ret` in the caller's own object, since the loader takes the object from the return address. */
static const void *way_back(const struct loader_call *call)
{
    struct velo_object object;
    if (has_shadow_stack() || !velo_object_at(call->caller, &object))
        return NULL;
    const ElfW(Phdr) *code = velo_object_segment(&object, (uintptr_t)call->caller);
    const unsigned char *start = (const unsigned char *)object.base + code->p_vaddr;
    if ((code->p_flags & (PF_R | PF_X)) != (PF_R | PF_X))
        return NULL;
    const void *found = find_ret(call->caller, start + code->p_filesz);
    return found != NULL ? found : find_ret(start, call->caller);
}
#else
/* A return address is in a register here. */
static const void *way_back(const struct loader_call *call)
{
    (void)call;
    return NULL;
}
#endif

static void *identity(void *value)
{
    return value;
}

static struct way answer(struct loader_call *call, void *value)
{
    call->first = value;
    return (struct way){(void *)identity, NULL};
}

/* ---- past us --------------------------------------------------------------------------------- */

/* Code of this process will call a libc in front of which we do not stand. */
static void go_past(void)
{
    struct velo_region *region = velo_vfork_child ? NULL : velo_here();
    if (region != NULL)
        velo_leave_unreachable(region);
}

/* Functions of ours that name no file, or one that libc opens itself. Their duties (a limit of memory, threads that are
 * watched) are done when we come first, as we do. */
static bool names_no_file(const char *name)
{
    static const char *const harmless[] = {
        "__close",
        "__fcntl",
        "__pwrite64",
        "__sigaction",
        "__sigsuspend",
        "__write",
        "_Fork",
        "_IO_fclose",
        "_IO_fflush",
        "_IO_fwrite",
        "bsd_signal",
        "close",
        "close_range",
        "closefrom",
        "copy_file_range",
        "dirfd",
        "dlsym",
        "dlvsym",
        "dup",
        "dup2",
        "dup3",
        "__dup2",
        "epoll_pwait",
        "fcntl",
        "fcntl64",
        "fflush",
        "fflush_unlocked",
        "fwrite",
        "ppoll",
        "prctl",
        "preadv2",
        "pselect",
        "pthread_create",
        "pthread_sigmask",
        "pwrite",
        "pwrite64",
        "pwritev",
        "sendfile",
        "sendfile64",
        "sigaction",
        "signal",
        "sigprocmask",
        "sigsuspend",
        "splice",
        "thrd_create",
        "write",
        "writev",
        "__dgettext",
        "__dcgettext",
        "__newlocale",
        "__strftime_l",
        "__wcsftime_l",
        "dcgettext",
        "dcngettext",
        "dgettext",
        "dngettext",
        "gettext",
        "iconv_open",
        "mktime",
        "newlocale",
        "ngettext",
        "setlocale",
        "strftime",
        "strftime_l",
        "timelocal",
        "tzset",
        "wcsftime",
        "wcsftime_l",
    };
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        if (velo_same_text(name, harmless[i]))
            return true;
    return false;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* What to say when the loader found `found`. A library behind us that wraps the same function asks for
 * its successor; with ours it would call itself, through us, for ever. */
static void *ours_for(void *found, const char *name, void *ours)
{
    if (found == ours) /* this libc may have none, being older than we know it */
        return velo_real_dlsym(RTLD_NEXT, name) == NULL ? NULL : ours;
    if (found == NULL || !velo_is_libc_code(found))
        return found;
    if (velo_is_libc_code(velo_real_dlsym(RTLD_NEXT, name)))
        return ours;
    if (!names_no_file(name))
        go_past();
    return found;
}

/* Ours of that name, when it is worth a thought. We may not be attached yet: a sanitizer asks before any
 * function works that we would call for it. */
static void *own_function(const char *name)
{
    void *ours = velo_is_nowhere(name) ? NULL : velo_own_function(name);
    return atomic_load_explicit(&velo_attachment, memory_order_relaxed) == VELO_OFF ? NULL : ours;
}

static bool depends_on_caller(const void *handle)
{
    return handle == RTLD_NEXT || handle == RTLD_DEFAULT;
}

static int comes_first(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct velo_object object;
    velo_object_read(&object, info);
    if (velo_object_segment(&object, (uintptr_t)context) != NULL)
        return 1;
    return velo_object_segment(&object, (uintptr_t)&comes_first) != NULL ? 2 : 0;
}

/* The answer is the caller's alone. Where it cannot lead by us, a caller that comes before us finds us by
 * itself, and one that comes behind us finds libc's: objects are listed in the order of such a search. */
static struct way answer_to_caller(struct loader_call *call, void *next, const char *name)
{
    const void *back = way_back(call);
    if (back != NULL || call->first == RTLD_DEFAULT ||
        velo_each_object(comes_first, (void *)(uintptr_t)call->caller) == 1)
        return (struct way){next, back};
    void *found = ours_for(velo_real_dlsym(RTLD_NEXT, name), name, velo_own_function(name));
    return found == velo_own_function(name) ? answer(call, found) : (struct way){next, NULL};
}

__attribute__((used)) struct way velo_before_dlsym(struct loader_call *call)
{
    velo_lookup *const next = velo_real_dlsym_itself();
    const char *name = call->second;
    void *ours = own_function(name);
    if (next == NULL) /* there is none in this process */
        return answer(call, NULL);
    if (ours == NULL)
        return (struct way){(void *)next, NULL};
    if (depends_on_caller(call->first))
        return answer_to_caller(call, (void *)next, name);
    return answer(call, ours_for(next((void *)(uintptr_t)call->first, name), name, ours));
}

__attribute__((used)) struct way velo_before_dlvsym(struct loader_call *call)
{
    velo_lookup_version *const next = velo_real_dlvsym_itself();
    const char *name = call->second, *version = call->third;
    void *ours = own_function(name);
    if (next == NULL)
        return answer(call, NULL);
    if (ours == NULL || velo_is_nowhere(version))
        return (struct way){(void *)next, NULL};
    if (depends_on_caller(call->first))
        return answer_to_caller(call, (void *)next, name);
    void *found = next((void *)(uintptr_t)call->first, name, version);
    return answer(call, ours_for(found, name, ours));
}

/* Also of dlvsym. */
__attribute__((used)) void *velo_after_dlsym(void *found, void *handle, const char *name)
{
    (void)handle;
    return ours_for(found, name, velo_own_function(name));
}

/* ---- libraries ------------------------------------------------------------------------------- */

/* Its objects ask libc before us (RTLD_DEEPBIND), and their constructors have run when dlopen returns.
 * So until then the process is opaque; then their imports are led to us. */
static _Atomic int deepbind_loads; /* under way, in all threads */
static int attached_as; /* before: what to be again */
static struct velo_loaded loaded_before;

static bool begin_deepbind_load(void)
{
    const bool inside = velo_here() != NULL;
    int running = atomic_load(&deepbind_loads);
    do
        if (running == 0 && !inside)
            return false;
    while (!atomic_compare_exchange_strong(&deepbind_loads, &running, running + 1));
    if (running == 0) {
        attached_as = atomic_load(&velo_attachment);
        velo_loaded_now(&loaded_before);
        go_past();
    }
    return true;
}

static void end_deepbind_load(void)
{
    if (!velo_imports_rebind(&loaded_before))
        atomic_fetch_add(&deepbind_loads, 1); /* so that it never ends */
    if (atomic_fetch_sub(&deepbind_loads, 1) == 1)
        velo_return_to_namespace(attached_as);
}

static void before_library(const char *path)
{
    struct velo_region *region = velo_here();
    if (region == NULL || path == NULL)
        return;
    if (velo_unit != NULL && strchr(path, '/') != NULL) /* it may be unloaded before the end */
        velo_saw_now(VELO_RECORD_READ, VELO_READ_TO_RUN, AT_FDCWD, path,
                     raw_access(AT_FDCWD, path, F_OK));
    velo_flush_library(region, path);
    velo_sud_library(region, path);
}

__attribute__((used)) struct way velo_before_dlopen(struct loader_call *call)
{
    void *const next = (void *)NEXT(dlopen);
    const bool deepbind = ((uintptr_t)call->second & RTLD_DEEPBIND) != 0;
    before_library(call->first);
    if (!deepbind || call->first == NULL || velo_vfork_child)
        return (struct way){next, NULL};
    const void *back = way_back(call);
    if (back == NULL)
        go_past();
    return (struct way){next, back != NULL && begin_deepbind_load() ? back : NULL};
}

__attribute__((used)) void *velo_after_dlopen(void *handle, const char *path, long flags)
{
    (void)path;
    (void)flags;
    end_deepbind_load();
    return handle;
}

/* Another name space has a libc of its own. */
__attribute__((used)) struct way velo_before_dlmopen(struct loader_call *call)
{
    before_library(call->second);
    if ((Lmid_t)call->first != LM_ID_BASE)
        go_past();
    return (struct way){(void *)NEXT(dlmopen), NULL};
}

#if defined(__x86_64__)

/* With a way back: the first two arguments are kept below our caller's frame, then come our return
 * address and the one that the function sees. */
#define CALL(name, before, after)                                                                  \
    __asm__(".globl " #name "\n.type " #name ", @function\n" #name ":\n"                           \
            "    .cfi_startproc\n"                                                                 \
            "    endbr64\n"                                                                        \
            "    push %rdi\n    push %rsi\n    push %rdx\n    push %rcx\n"                         \
            "    push %r8\n    push %r9\n    sub $8, %rsp\n"                                       \
            "    .cfi_def_cfa_offset 64\n"                                                         \
            "    mov %rsp, %rdi\n"                                                                 \
            "    call " #before "\n"                                                               \
            "    mov %rdx, %r11\n"                                                                 \
            "    add $8, %rsp\n    pop %r9\n    pop %r8\n"                                         \
            "    pop %rcx\n    pop %rdx\n    pop %rsi\n    pop %rdi\n"                             \
            "    .cfi_def_cfa_offset 8\n"                                                          \
            "    test %r11, %r11\n"                                                                \
            "    jz 1f\n"                                                                          \
            "    push %rsi\n    push %rdi\n"                                                       \
            "    lea 2f(%rip), %r10\n"                                                             \
            "    push %r10\n    push %r11\n"                                                       \
            "1:  jmp *%rax\n"                                                                      \
            "    .cfi_def_cfa_offset 24\n"                                                         \
            "    nop\n" /* an unwinder looks before the return address */                          \
            "2:  mov %rax, %rdi\n"                                                                 \
            "    pop %rsi\n"                                                                       \
            "    .cfi_def_cfa_offset 16\n"                                                         \
            "    mov (%rsp), %rdx\n"                                                               \
            "    call " #after "\n"                                                                \
            "    add $8, %rsp\n"                                                                   \
            "    .cfi_def_cfa_offset 8\n"                                                          \
            "    ret\n"                                                                            \
            "    .cfi_endproc\n"                                                                   \
            ".size " #name ", . - " #name "\n")

#else

#define CALL(name, before, after)                                                                  \
    __asm__(".globl " #name "\n.type " #name ", %function\n" #name ":\n"                           \
            "    stp x29, x30, [sp, #-80]!\n"                                                      \
            "    mov x29, sp\n"                                                                    \
            "    stp x0, x1, [sp, #16]\n    stp x2, x3, [sp, #32]\n"                               \
            "    stp x4, x5, [sp, #48]\n    stp x6, x7, [sp, #64]\n"                               \
            "    mov x0, sp\n"                                                                     \
            "    bl " #before "\n"                                                                 \
            "    mov x16, x0\n"                                                                    \
            "    ldp x0, x1, [sp, #16]\n    ldp x2, x3, [sp, #32]\n"                               \
            "    ldp x4, x5, [sp, #48]\n    ldp x6, x7, [sp, #64]\n"                               \
            "    ldp x29, x30, [sp], #80\n"                                                        \
            "    br x16\n"                                                                         \
            ".size " #name ", . - " #name "\n")

#endif

CALL(dlopen, velo_before_dlopen, velo_after_dlopen);
CALL(dlmopen, velo_before_dlmopen, velo_after_dlopen);
CALL(dlsym, velo_before_dlsym, velo_after_dlsym);
CALL(dlvsym, velo_before_dlvsym, velo_after_dlsym);
