/* opaque.c - telling from its first bytes whether a program can be entered, before it is run.
 *
 * Entered are dynamic programs of our own ELF class, machine and libc, without privileges to gain;
 * the loader ignores LD_PRELOAD for all others, and some loaders complain about it. Those see the
 * disk, so the disk is brought up to date first. */
#include "opaque.h"

#include <elf.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "kernel/text.h"
#include "preload/path/claim.h"
#include "environment.h"
#include "descriptors.h"
#include "preload/write/credit.h"
#include "preload/base/objects.h"
#include "preload/base/raw.h"
#include "preload/replay/unit.h"
#include "preload/write/relocate.h"

#define HEAD_BYTES 2048u
#define SCRIPT_DEPTH_MAX 5 /* the kernel's limit on interpreters of interpreters */
#define FLUSH_TIMEOUT_MS 60000u
#define INTERPRETER_BYTES 256u

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#else
#define OUR_MACHINE EM_AARCH64
#endif

enum program {
    PROGRAM_UNKNOWN,
    PROGRAM_ENTERED,
    PROGRAM_OPAQUE,
    PROGRAM_SCRIPT,
    PROGRAM_UNREAD /* for want of a descriptor */
};

/* ---- one file -------------------------------------------------------------------------------- */

/* The loader that runs here, too, brings the libc that we were built for. Another one, also of glibc's,
 * has a libc of its own beside it, which may be older than what we need. */
static bool is_our_loader(const char *path)
{
    struct stat theirs, ours;
    const char *own = velo_own_loader();
    return own != NULL && (strcmp(own, path) == 0 ||
                           (raw_statat(AT_FDCWD, path, &theirs, 0) == 0 &&
                            raw_statat(AT_FDCWD, own, &ours, 0) == 0 &&
                            theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino));
}

static void flush_programs(struct velo_region *region)
{
    struct velo_flush_result result;
    if (velo_programs_pending(region) != 0)
        velo_flush(region, VELO_FLUSH_PROGRAMS, FLUSH_TIMEOUT_MS, &result);
}

static enum program of_another_libc(void)
{
    velo_escape(velo_here(), VELO_ESCAPE_LIBC);
    return PROGRAM_OPAQUE;
}

/* The loader that the file names (PT_INTERP) is read from the file itself when it lies beyond the
 * first bytes. */
static enum program identify_loader(int fd, const Elf64_Phdr *segment)
{
    char path[INTERPRETER_BYTES] = "";
    const size_t size = segment->p_filesz < sizeof path - 1 ? segment->p_filesz : sizeof path - 1;
    if (velo_sys4(SYS_pread64, fd, velo_word(path), size, segment->p_offset) != (long)size)
        return PROGRAM_UNKNOWN;
    return is_our_loader(path) ? PROGRAM_ENTERED : of_another_libc();
}

/* The headers of segments follow the file's head as a rule. A tool that edits programs (patchelf) may put them at
 * the file's end; from there they are read over the head. False: there are none, or too many. */
static bool find_segments(int fd, const Elf64_Ehdr *file, unsigned char head[HEAD_BYTES],
                          size_t size, struct velo_segments *out)
{
    const size_t bytes = (size_t)file->e_phnum * file->e_phentsize;
    *out = (struct velo_segments){head, file->e_phnum, file->e_phentsize};
    if (file->e_phentsize < sizeof(Elf64_Phdr) || bytes > HEAD_BYTES)
        return false;
    if (file->e_phoff <= size && bytes <= size - file->e_phoff) {
        out->first = head + file->e_phoff;
        return true;
    }
    return velo_sys4(SYS_pread64, fd, velo_word(head), bytes, file->e_phoff) == (long)bytes;
}

static enum program identify_elf(int fd, unsigned char head[HEAD_BYTES], size_t size,
                                 char first[VELO_SANITIZER_MAX])
{
    Elf64_Ehdr file;
    Elf64_Phdr segment;
    struct velo_segments all;
    if (head[EI_CLASS] != ELFCLASS64 || head[EI_DATA] != ELFDATA2LSB || size < sizeof file)
        return of_another_libc();
    memcpy(&file, head, sizeof file);
    if (file.e_machine != OUR_MACHINE)
        return of_another_libc();
    if (!find_segments(fd, &file, head, size, &all))
        return PROGRAM_UNKNOWN;
    for (unsigned i = 0; velo_segment_at(&all, i, &segment); i++) {
        if (segment.p_type != PT_INTERP)
            continue;
        velo_find_sanitizer(fd, &all, first);
        if (velo_programs_pending(velo_here()) != 0 && velo_has_own_libraries(fd, &all))
            flush_programs(velo_here()); /* ld.so opens them before we are there */
        return identify_loader(fd, &segment);
    }
    return PROGRAM_OPAQUE; /* static; ld.so itself, too, which costs a barrier and nothing else */
}

/* The interpreter of a "#!" line. */
static enum program identify_script(const char *head, size_t size, char out[INTERPRETER_BYTES])
{
    size_t start = 2, end;
    while (start < size && (head[start] == ' ' || head[start] == '\t'))
        start++;
    for (end = start; end < size && (unsigned char)head[end] > ' '; end++) {
    }
    if (end == start || end - start >= INTERPRETER_BYTES)
        return PROGRAM_UNKNOWN;
    memcpy(out, head + start, end - start);
    out[end - start] = 0;
    return PROGRAM_SCRIPT;
}

/* The loader leaves us out of such a program (AT_SECURE), also when the process is another user just for now. */
static bool gains_privileges(int fd)
{
    struct stat stat;
    if (raw_fstat(fd, &stat) != 0)
        return false;
    const uid_t uid = (uid_t)velo_sys0(SYS_geteuid);
    const gid_t gid = (gid_t)velo_sys0(SYS_getegid);
    if ((uid_t)velo_sys0(SYS_getuid) != uid || (gid_t)velo_sys0(SYS_getgid) != gid)
        return true;
    if ((stat.st_mode & S_ISUID) != 0 && stat.st_uid != uid)
        return true;
    if ((stat.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && stat.st_gid != gid)
        return true;
    return uid != 0 && velo_sys4(SYS_fgetxattr, fd, velo_word("security.capability"), 0, 0) > 0;
}

/* Of a process that has all descriptors that it may have: does a program find one of them free when it begins? */
static bool exec_closes_one(void)
{
    for (int fd = 0;; fd++) {
        const long flags = velo_sys3(SYS_fcntl, fd, F_GETFD, 0);
        if (flags < 0 || (flags & FD_CLOEXEC) != 0)
            return flags >= 0;
    }
}

static enum program identify(int dirfd, const char *path, char interpreter[INTERPRETER_BYTES],
                             char first[VELO_SANITIZER_MAX])
{
    char head[HEAD_BYTES];
    const int fd = (int)raw_openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd == -EMFILE || fd == -ENFILE)
        return PROGRAM_UNREAD;
    if (fd < 0)
        return PROGRAM_UNKNOWN;
    const long size = velo_sys4(SYS_pread64, fd, velo_word(head), sizeof head, 0);
    enum program is = PROGRAM_UNKNOWN;
    if (size > 2 && head[0] == '#' && head[1] == '!')
        is = identify_script(head, (size_t)size, interpreter);
    else if (size >= (long)sizeof(Elf32_Ehdr) && memcmp(head, ELFMAG, SELFMAG) == 0)
        is = gains_privileges(fd) ? PROGRAM_OPAQUE
                                  : identify_elf(fd, (unsigned char *)head, (size_t)size, first);
    raw_close(fd);
    return is;
}

/* ---- before it runs -------------------------------------------------------------------------- */

/* A frame of its own: its place is gone from the stack before the file is looked at. 0, or
 * -ETXTBSY, after the kernel's first question: may the caller run it? */
__attribute__((noinline)) static int flush_target(struct velo_region *region, int dirfd,
                                                  const char *path, bool libraries)
{
    struct velo_place place;
    const bool hosted =
        velo_claim(dirfd, path, 0, &place) == VELO_OURS && place.at.type == VELO_REGULAR;
    if (hosted || libraries)
        flush_programs(region);
    if (!hosted || velo_writeback(region, place.at.node, 0) != 1)
        return 0;
    const int rc = velo_access(region, &place, X_OK, AT_EACCESS);
    return rc != 0 ? rc : -ETXTBSY;
}

/* The libraries of LD_AUDIT have a libc of their own, and see the tree before we do. The others name files that the
 * loader itself writes. */
static bool has_busy_loader(char *const environment[])
{
    static const char *const variables[] = {"LD_AUDIT", "LD_DEBUG_OUTPUT", "LD_PROFILE"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = velo_environment_get(environment, variables[i]);
        if (value != NULL && value[0] != 0) {
            velo_escape(velo_here(), VELO_ESCAPE_UNREACHABLE);
            return true;
        }
    }
    return false;
}

/* As velo_before_program; -EMFILE: no descriptor is free. */
static int identify_program(int dirfd, const char *path, char *const environment[],
                            char first[VELO_SANITIZER_MAX])
{
    struct velo_region *region = velo_here();
    char interpreter[INTERPRETER_BYTES];
    const bool libraries = velo_environment_get(environment, "LD_LIBRARY_PATH") != NULL ||
                           velo_environment_get(environment, "LD_AUDIT") != NULL ||
                           velo_environment_preloads(environment);
    const bool unentered = has_busy_loader(environment) || velo_environment_is_outside(environment);
    for (int depth = 0; depth < SCRIPT_DEPTH_MAX; depth++) {
        const int rc = flush_target(region, dirfd, path, libraries);
        if (rc != 0)
            return rc;
        const enum program is = identify(dirfd, path, interpreter, first);
        if (is == PROGRAM_UNREAD)
            return -EMFILE;
        if (is != PROGRAM_SCRIPT)
            return (is == PROGRAM_OPAQUE || (is == PROGRAM_ENTERED && unentered)) &&
                   raw_access(dirfd, path, X_OK) == 0;
        path = interpreter;
        dirfd = AT_FDCWD;
    }
    return 0;
}

struct identified {
    int dirfd;
    const char *path;
    char *const *environment;
    char *first;
    int result;
};

static void identify_one(void *context)
{
    struct identified *one = context;
    one->result = identify_program(one->dirfd, one->path, one->environment, one->first);
}

int velo_before_program(int dirfd, const char *path, char *const environment[],
                        char first[VELO_SANITIZER_MAX])
{
    first[0] = 0;
    if (velo_here() == NULL || velo_has_left() || velo_cannot_read_text(path))
        return 0;
    struct identified one = {dirfd, path, environment, first, 0};
    identify_one(&one);
    if (one.result != -EMFILE)
        return one.result;
    if (!velo_with_descriptors(identify_one, &one, dirfd) || one.result == -EMFILE)
        return 1;
    /* If it finds no descriptor free, its loader finds no library, and says that of ours first. */
    return one.result == 0 && !exec_closes_one() ? 1 : one.result;
}

long velo_program_error(int dirfd, const char *path, long rc)
{
    struct velo_place place;
    if (rc != -ENOENT || velo_here() == NULL || velo_has_left() || velo_cannot_read_text(path))
        return rc;
    if (path[0] != '/' && dirfd < 0 && dirfd != AT_FDCWD)
        return rc; /* in a directory that the child opens itself */
    const int claimed = velo_claim(dirfd, path, 0, &place);
    return claimed < 0 ? claimed : rc;
}

struct beginning {
    int (*how)(struct velo_region *region, pid_t pid, const char *name);
    struct velo_region *region;
    pid_t pid;
    const char *name;
};

static void begin(void *context)
{
    const struct beginning *of = context;
    of->how(of->region, of->pid, of->name);
}

/* Puts the tree, for which files are opened. */
static void begin_anyway(struct beginning of)
{
    of.pid = (pid_t)velo_sys0(SYS_getpid);
    if (!velo_has_no_descriptor() || !velo_with_descriptors(begin, &of, -1))
        begin(&of);
}

void velo_run_opaque(const char *path)
{
    velo_taint(VELO_TAINT_OPAQUE);
    begin_anyway((struct beginning){velo_opaque_begin, velo_here(), 0, velo_base_of(path)});
}

void velo_opaque_child(pid_t pid, const char *path)
{
    velo_opaque_started(velo_here(), (pid_t)velo_sys0(SYS_getpid), pid, velo_base_of(path));
}

void velo_leave_namespace(struct velo_region *region)
{
    const int saved = errno;
    velo_taint(VELO_TAINT_LEFT);
    velo_mark_gone(region);
    begin_anyway((struct beginning){velo_opaque_leaves, region, 0, program_invocation_short_name});
    velo_relocate_all(region);
    velo_switch_off();
    errno = saved;
}

void velo_leave_unreachable(struct velo_region *region)
{
    velo_escape(region, VELO_ESCAPE_UNREACHABLE);
    velo_leave_namespace(region);
}

/* The next process that walks compares what is on disk. */
void velo_return_to_namespace(int attachment)
{
    velo_mark_back(&velo_the_region);
    velo_enlist_again(&velo_the_region);
    atomic_store_explicit(&velo_attachment, attachment, memory_order_release);
}

void velo_flush_library(struct velo_region *region, const char *path)
{
    struct velo_place place;
    /* The loader searches a bare name along RUNPATH and LD_LIBRARY_PATH, which may lead anywhere. */
    if (velo_programs_pending(region) != 0 &&
        (strchr(path, '/') == NULL || velo_claim(AT_FDCWD, path, 0, &place) != VELO_NOT_OURS))
        flush_programs(region);
}

/* ---- $PATH ----------------------------------------------------------------------------------- */

bool velo_find_program(int directory, const char *file, char found[PATH_MAX])
{
    const size_t name = strlen(file);
    const char *list = velo_environment_get(environ, "PATH");
    if (list == NULL)
        list = "/bin:/usr/bin";
    while (name > 0) {
        const size_t length = strcspn(list, ":");
        if (length + 1 + name < PATH_MAX) {
            memcpy(found, list, length);
            found[length] = '/';
            memcpy(found + length + (length > 0), file, name + 1);
            if (faccessat(directory, found, X_OK, 0) == 0)
                return true;
        }
        if (list[length] == 0)
            return false;
        list += length + 1;
    }
    return false;
}
