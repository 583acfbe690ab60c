/* A seccomp filter that was written for the calls that libc's older functions make: those with
 * directories, which it does not know, are answered EPERM. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "say.h"

#define DENY(number)                                                                               \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##number, 0, 1),                                       \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

static int install(void)
{
    struct sock_filter lines[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        DENY(unlinkat),
        DENY(mkdirat),
        DENY(linkat),
        DENY(symlinkat),
        DENY(renameat),
        DENY(renameat2),
        DENY(readlinkat),
        DENY(fchmodat),
        DENY(fchownat),
        DENY(faccessat),
        DENY(dup3),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof lines / sizeof *lines, lines};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

static void calls_in(const char *place)
{
    char target[16];
    SAY(chdir(place));
    SAY(mkdir("dir", 0700));
    SAY(access("file", R_OK));
    SAY(chmod("file", 0600));
    SAY(chown("file", getuid(), getgid()));
    SAY(lchown("file", getuid(), getgid()));
    SAY(link("file", "other"));
    SAY(symlink("file", "link"));
    SAY(readlink("link", target, sizeof target));
    SAY(rename("other", "dir/other"));
    SAY(unlink("dir/other"));
    SAY(remove("link"));
    SAY(rmdir("dir"));
    SAY(unlinkat(AT_FDCWD, "file", 0));
    SAY(mkdirat(AT_FDCWD, "dir", 0700));
    SAY(renameat(AT_FDCWD, "file", AT_FDCWD, "file2"));
    SAY(dup2(1, 9));
    SAY(dup2(9, 9));
    SAY(dup2(8, 8));
    SAY(dup3(1, 9, O_CLOEXEC));
    SAY(chdir(".."));
}

int main(void)
{
    char outside[] = "/tmp/velo-older-XXXXXX", file[64];
    int fd;
    write_file("old/file", "hosted\n");
    snprintf(file, sizeof file, "%s/file", mkdtemp(outside));
    write_file(file, "outside\n");
    SAY_OPEN(fd, open(".", O_RDONLY));
    SAY(install());
    calls_in("old");
    fchdir(fd);
    printf("outside: %d\n", chdir(outside));
    calls_in(".");
    fchdir(fd);
    unlink(file);
    rmdir(outside);
    show_file("old/file");
    return 0;
}
