/* sud.c - a process, and each of its threads, has its raw system calls handed over.
 *
 * D1  The gate (sys.h) leads into libc's text before the first thread is watched, and stays.
 * D2  SIGSYS has our handler, and no thread blocks it, from before the first thread is watched: the
 *     kernel kills a thread whose SIGSYS it cannot deliver.
 * D3  `sud_is_on` and the selector belong to one thread; in a vfork child they are the parent's, and
 *     are left alone. */
#include "sud.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <sys/prctl.h>

#include "preload/program/environment.h"
#include "preload/base/objects.h"
#include "preload/program/opaque.h"
#include "preload/base/raw.h"
#include "signals.h"
#include "summon.h"
#include "beside.h"
#include "syscall_profile.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#endif

#define KERNEL_SIGSET_BYTES 8

_Thread_local unsigned char velo_selector __attribute__((tls_model("initial-exec")));
_Thread_local unsigned char velo_sigsys_blocked __attribute__((tls_model("initial-exec")));
struct sigaction velo_sigsys_wanted;
static _Atomic bool filtered;

void (*velo_handler)(int signal, siginfo_t *info, void *context);
void (*velo_handler_prepare)(void);

#if defined(__x86_64__)

/* ---- the gate -------------------------------------------------------------------------------- */

void velo_own_gate(void);
__asm__(".type velo_own_gate, @function\n"
        "velo_own_gate:\n"
        "    syscall\n"
        "    ret\n"
        ".size velo_own_gate, . - velo_own_gate\n");

void *velo_gate = (void *)velo_own_gate;
void *velo_libc_syscall;        /* wrap/syscall.c: where syscall(2) goes on, */
extern void *velo_next_syscall; /* and how */
void velo_sud_syscall(void);

static struct {
    const unsigned char *start, *end;
} libc_text;

static int find_libc(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    const uintptr_t inside = (uintptr_t)context;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        const uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_X) == 0 || inside < start ||
            inside - start >= segment->p_memsz)
            continue;
        libc_text.start = (const unsigned char *)start;
        libc_text.end = libc_text.start + segment->p_memsz;
        return 1;
    }
    return 0;
}

/* Every libc has it: getppid and its like end so. */
static const unsigned char *find_gate(void)
{
    static const unsigned char code[] = {0x0f, 0x05, 0xc3}; /* syscall; ret */
    return memmem(libc_text.start, (size_t)(libc_text.end - libc_text.start), code, sizeof code);
}

static bool open_gate(void)
{
    void *const next = (void *)NEXT(syscall);
    dl_iterate_phdr(find_libc, (void *)NEXT(getppid));
    const unsigned char *gate = libc_text.start == NULL ? NULL : find_gate();
    if (gate == NULL || next == NULL)
        return false;
    velo_libc_syscall = next;
    velo_next_syscall = (void *)velo_sud_syscall;
    velo_gate = (void *)(uintptr_t)gate;
    return true;
}

/* ---- a thread -------------------------------------------------------------------------------- */

static _Thread_local bool sud_is_on __attribute__((tls_model("initial-exec")));

static bool change_mask(int how, bool *was_blocked)
{
    const uint64_t sigsys = 1ull << (SIGSYS - 1);
    uint64_t before = 0;
    const long rc = velo_sys4(SYS_rt_sigprocmask, how, velo_word(&sigsys), velo_word(&before),
                              KERNEL_SIGSET_BYTES);
    *was_blocked = (before & sigsys) != 0;
    return rc == 0;
}

static bool sud_begin_thread(void)
{
    bool was_blocked;
    if (!change_mask(SIG_UNBLOCK, &was_blocked))
        return false;
    velo_sigsys_blocked |= was_blocked;
    velo_passing.start = libc_text.start; /* before any thread can be made beside this one */
    velo_passing.bytes = libc_text.end - libc_text.start;
    velo_selector = VELO_HANDED_OVER;
    const long rc = velo_sys5(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
                              libc_text.start, libc_text.end - libc_text.start, &velo_selector);
    sud_is_on = rc == 0;
    if (!sud_is_on)
        velo_selector = VELO_PASSES;
    return sud_is_on;
}

void velo_sud_thread(void)
{
    if (velo_vfork_child)
        return;
    if (sud_is_on)
        velo_selector = VELO_HANDED_OVER; /* a call that had to be made in place is over */
    else if (!atomic_load_explicit(&filtered, memory_order_relaxed))
        sud_begin_thread();
}

void velo_sud_forked(void)
{
    sud_is_on = false;
    velo_sud_thread();
}

/* The kernel forgot it for the child of clone, whose thread-local storage may be the parent's. */
void velo_sud_cloned(void)
{
    sud_begin_thread();
}

void velo_sud_filtered(void)
{
    atomic_store(&filtered, true);
}

/* ---- a process ------------------------------------------------------------------------------- */

#define FLAG_RESTORER 0x04000000ul /* SA_RESTORER, the kernel's own business */

/* Another library (ThreadSanitizer's) may put a handler of its own between us and the kernel, and that handler
 * makes system calls with SIGSYS blocked. So the action that libc, or that library, has installed keeps its flags
 * and its way back, and we replace the handler. */
static long kernel_action(const struct sigaction *action, struct sigaction *old)
{
    struct velo_kernel_action installed;
    if (NEXT(sigaction)(SIGSYS, action, old) != 0)
        return -errno;
    long rc = velo_sys4(SYS_rt_sigaction, SIGSYS, 0, velo_word(&installed), sizeof installed.mask);
    if (rc != 0 || installed.handler == action->sa_handler)
        return rc;
    installed.handler = action->sa_handler;
    installed.flags = (installed.flags & FLAG_RESTORER) | (unsigned)action->sa_flags;
    memcpy(&installed.mask, &action->sa_mask, sizeof installed.mask);
    return velo_sys4(SYS_rt_sigaction, SIGSYS, velo_word(&installed), 0, sizeof installed.mask);
}

static void after_fork(void)
{
    if (velo_is_sud())
        velo_sud_forked();
}

/* For the life of the process. False: it cannot be done here. */
static bool sud_begin_process(void)
{
    struct sigaction ours = {.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    ours.sa_sigaction = velo_handler;
    velo_handler_prepare();
    if (!open_gate() || kernel_action(&ours, &velo_sigsys_wanted) != 0)
        return false;
    if (sud_begin_thread() && pthread_atfork(NULL, NULL, after_fork) == 0) {
        velo_sud_begin_thread = velo_sud_thread;
        atomic_store_explicit(&velo_attachment, VELO_SUD, memory_order_release);
        velo_summon_threads();
        return true;
    }
    kernel_action(&velo_sigsys_wanted, NULL);
    return false;
}

void velo_sud_end(struct velo_region *region)
{
    kernel_action(&velo_sigsys_wanted, NULL);
    velo_selector = VELO_PASSES;
    velo_leave_namespace(region);
}

/* ---- exec ------------------------------------------------------------------------------------ */

static bool exec_would_tell(void)
{
    return velo_is_sud() && !velo_vfork_child &&
           (velo_sigsys_blocked || velo_sigsys_wanted.sa_handler == SIG_IGN);
}

void velo_sud_before_exec(void)
{
    bool was_blocked;
    if (!exec_would_tell())
        return;
    if (velo_sigsys_wanted.sa_handler == SIG_IGN)
        kernel_action(&velo_sigsys_wanted, NULL);
    if (velo_sigsys_blocked)
        change_mask(SIG_BLOCK, &was_blocked);
}

void velo_sud_after_exec(void)
{
    bool was_blocked;
    if (!exec_would_tell())
        return;
    const struct sigaction ours = {.sa_sigaction = velo_handler,
                                   .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    kernel_action(&ours, NULL);
    change_mask(SIG_UNBLOCK, &was_blocked);
}

#else

/* Linux for this machine has no such facility yet (it came with 6.19's generic entry code), so
 * programs that would need it are opaque. */
static bool sud_begin_process(void)
{
    return false;
}
void velo_sud_thread(void)
{
}
void velo_sud_forked(void)
{
}
void velo_sud_cloned(void)
{
}
void velo_sud_before_exec(void)
{
}
void velo_sud_after_exec(void)
{
}
void velo_sud_filtered(void)
{
    atomic_store(&filtered, true);
}
void velo_sud_end(struct velo_region *region)
{
    (void)region;
}

#endif

/* ---- deciding -------------------------------------------------------------------------------- */

/* A sanitizer's runtime, a library or part of the program, makes raw calls for its own reports. Its functions
 * come before ours and libc's, and a handler that calls them again may not interrupt them. */
static bool has_sanitizer(void)
{
    return velo_real_dlsym(RTLD_DEFAULT, "__sanitizer_set_report_path") != NULL;
}

static void apply(struct velo_region *region, enum velo_profile profile)
{
    if (profile == VELO_PROFILE_RAW && has_sanitizer())
        return;
    if (profile == VELO_PROFILE_RAW && sud_begin_process())
        velo_enlist_raw(region, program_invocation_short_name);
    else if (profile >= VELO_PROFILE_RAW) {
        velo_leave_unreachable(region);
        velo_environment_leave();
    }
}

void velo_sud_program(struct velo_region *region)
{
    const int saved = errno;
    apply(region, velo_profile_of_process(region));
    errno = saved;
}

void velo_sud_library(struct velo_region *region, const char *path)
{
    if (velo_is_sud() || strchr(path, '/') == NULL || velo_vfork_child)
        return;
    const int saved = errno;
    apply(region, velo_profile_of_file(region, path));
    errno = saved;
}
