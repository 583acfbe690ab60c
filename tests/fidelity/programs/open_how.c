/* openat2's argument in all sizes, and what the kernel looks at before it looks at the path. */
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "say.h"

static unsigned char room[8192] __attribute__((aligned(8)));

/* `how`, in a buffer of zeros of which one byte is `odd`. */
static long with_size(struct open_how how, size_t size, size_t at, unsigned char odd)
{
    memset(room, 0, sizeof room);
    memcpy(room, &how, sizeof how);
    room[at] |= odd;
    const long fd = syscall(SYS_openat2, AT_FDCWD, "a", room, size);
    if (fd < 0)
        return -1;
    close((int)fd);
    return 0;
}

static void sizes(const char *when, uint64_t resolve)
{
    static const size_t all[] = {0, 8, 23, 24, 25, 32, 4095, 4096, 4097, 8192};
    const struct open_how how = {.flags = O_RDONLY, .resolve = resolve};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        printf("%s, %zu bytes\n", when, all[i]);
        SAY(with_size(how, all[i], 0, 0));
        SAY(with_size(how, all[i], 24, 1));
        SAY(with_size(how, all[i], 4095, 1));
    }
}

static void in(const char *directory)
{
    if (chdir(directory) != 0)
        return;
    write_file("a", "in memory\n");
    sizes("as ever", 0);
    sizes("beneath", RESOLVE_BENEATH);
    for (unsigned bit = 0; bit < 64; bit++) {
        printf("bit %u\n", bit);
        SAY(with_size((struct open_how){.flags = 1ull << bit}, 24, 0, 0));
        SAY(with_size((struct open_how){.mode = 1ull << bit}, 24, 0, 0));
        SAY(with_size((struct open_how){.flags = O_RDWR | O_CREAT, .mode = 1ull << bit}, 24, 0, 0));
        SAY(with_size((struct open_how){.resolve = 1ull << bit}, 24, 0, 0));
    }
    /* stdin is closed: a descriptor may be 0, and is one */
    close(0);
    const struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_IN_ROOT};
    SAY(syscall(SYS_openat2, AT_FDCWD, "/a", &how, sizeof how));
    SAY(syscall(SYS_openat2, AT_FDCWD, "/a", &how, sizeof how) > 0);
    show_file("a");
    unlink("a");
}

int main(void)
{
    IN_CHILD("hosted", in("."));
    IN_CHILD("beside", in("../src"));
    return 0;
}
