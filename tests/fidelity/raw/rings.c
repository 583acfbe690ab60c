/* rings.c - io_uring, asked for raw and through syscall(2). */
#include "raw.h"

int main(void)
{
    char parameters[256] = {0};
    SAY("raw %ld", RAW(SYS_io_uring_setup, 4, parameters));
    const long result = syscall(SYS_io_uring_setup, 4, parameters);
    SAY("syscall %ld, errno %d", result, errno);
    SAY("enter %ld", RAW(SYS_io_uring_enter, -1, 0, 0, 0, 0, 0));
    SAY("register %ld", RAW(SYS_io_uring_register, -1, 0, 0, 0));
    return 0;
}
