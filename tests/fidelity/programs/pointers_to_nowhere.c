/* Pointers that no program has memory behind: which call says EFAULT, and what it looks at before.
 * Test suites of libraries pass them on purpose. */
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "say.h"

static void *volatile NOTHING = NULL; /* volatile: the compiler is not to know */
static void *volatile NOWHERE = (void *)1;
static void *volatile KERNEL = (void *)-1;

/* What a call says of each of them. */
#define EACH(call)                                                                                 \
    do {                                                                                           \
        void *p = NOTHING;                                                                         \
        SAY(call);                                                                                 \
        p = NOWHERE;                                                                               \
        SAY(call);                                                                                 \
        p = KERNEL;                                                                                \
        SAY(call);                                                                                 \
    } while (0)

#define EACH_TEXT EACH
#define EACH_ANSWER EACH
#include "pointer_calls.h"

static void inputs(void)
{
    EACH(utimensat(AT_FDCWD, "new", p == NULL ? KERNEL : p, 0));
    EACH(utimensat(AT_FDCWD, "missing", p == NULL ? KERNEL : p, 0));
    EACH(getxattr("new", p, NULL, 0));
    EACH(getxattr("missing", p, NULL, 0));
    EACH(setxattr("new", p, "y", 1, 0));
    EACH(setxattr("missing", p, "y", 1, 0));
    EACH(removexattr("new", p));
    EACH(syscall(SYS_openat2, AT_FDCWD, "new", p, 24));
}

static void programs(void)
{
    char *const entries[] = {NOWHERE, NULL};
    EACH(execve("./true", p == NULL ? KERNEL : p, NULL));
    EACH(execve("./true", arguments, p == NULL ? KERNEL : p));
    EACH(execve("./missing", arguments, p == NULL ? KERNEL : p));
    SAY(execve("./true", entries, NULL));
    SAY(execve("./true", arguments, entries));
}

int main(void)
{
    write_file("new", "new\n");
    if (symlink("new", "link") != 0 || system("cp /bin/true true") != 0)
        return 1;
    paths();
    pairs();
    answers();
    inputs();
    programs();
    errno = 0;
    printf("%p %s\n", (void *)realpath(NULL, NULL), strerrorname_np(errno));
    return 0;
}
