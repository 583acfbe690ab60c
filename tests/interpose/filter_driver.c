/* filter_driver.c - what a seccomp filter is taken for (filter.c), under the control of test_filter.py.
 *
 *     attached | watched    lines "CODE,JT,JF,K CODE,JT,JF,K ...", a filter each; out: what the process
 *                           does before it is installed: stays, leaves, ends, filtered
 *     kernel                the same lines; out: the filter's answer to getppid as filter.c reads it,
 *                           and what the kernel answers in a child that has it: 0x50000 + errno
 *
 * It is compiled with filter.c, to reach the function that reads filters. */
#include "preload/sud/filter.c"

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_BYTES = 1 << 16, LINES_MAX = 512, NOT_INSTALLED = 200 };

_Atomic int velo_attachment = VELO_ATTACHED;
struct velo_region velo_the_region;
_Thread_local int velo_vfork_child;
static const char *done;

struct velo_region *velo_attach_now(void)
{
    return &velo_the_region; /* as in a watched process */
}

void velo_leave_namespace(struct velo_region *region)
{
    (void)region;
    done = "leaves";
}

void velo_sud_end(struct velo_region *region)
{
    (void)region;
    done = "ends";
}

void velo_sud_filtered(void)
{
    done = "filtered";
}

static unsigned short read_filter(char *line, struct sock_filter *out)
{
    unsigned short count = 0;
    for (char *each = strtok(line, " \n"); each != NULL && count < LINES_MAX;
         each = strtok(NULL, " \n"), count++) {
        unsigned code, jt, jf, k;
        if (sscanf(each, "%u,%u,%u,%u", &code, &jt, &jf, &k) != 4)
            abort();
        out[count] = (struct sock_filter){(uint16_t)code, (uint8_t)jt, (uint8_t)jf, k};
    }
    return count;
}

/* In a child: install it, and tell by a pipe what getppid says. */
static int ask_kernel(struct sock_fprog *filter)
{
    int ends[2], told = -1;
    if (pipe(ends) != 0)
        abort();
    const pid_t child = fork();
    if (child == 0) {
        int said = NOT_INSTALLED;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
            syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter) == 0) {
            errno = 0;
            said = syscall(SYS_getppid) == -1 ? (int)SECCOMP_RET_ERRNO + errno : 0;
        }
        _exit(write(ends[1], &said, sizeof said) != sizeof said);
    }
    close(ends[1]);
    if (read(ends[0], &told, sizeof told) != sizeof told)
        told = -1; /* killed */
    close(ends[0]);
    waitpid(child, NULL, 0);
    return told;
}

int main(int argc, char **argv)
{
    static struct sock_filter lines[LINES_MAX];
    static char line[LINE_BYTES];
    if (argc != 2)
        return 2;
    if (strcmp(argv[1], "watched") == 0)
        velo_attachment = VELO_SUD;
    while (fgets(line, sizeof line, stdin) != NULL) {
        const unsigned short count = read_filter(line, lines);
        struct sock_filter *own = malloc(count * sizeof *own);
        memcpy(own, lines, count * sizeof *own);
        struct sock_fprog filter = {count, own};
        if (strcmp(argv[1], "kernel") == 0) {
            printf("%u %d\n", answer(&filter, SYS_getppid), ask_kernel(&filter));
        } else {
            done = "stays";
            velo_before_seccomp(SECCOMP_SET_MODE_FILTER, (unsigned long)(uintptr_t)&filter);
            printf("%s\n", done);
        }
        fflush(stdout);
        free(own);
    }
    return 0;
}
