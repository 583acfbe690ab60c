/* test_stepped.c - an open on disk that is stopped between any two of its instructions, while the file
 * goes into memory, is changed, is put, and leaves memory again: as another file of its name.
 *
 * Who opened the disk's file before it was replaced, and believes that it is still the one because
 * the state is what it was, reads the past, or writes for nobody.  Few instructions lie between the
 * checks, so chance finds this once in ten thousand rounds; here a tracer stops at each of them. */
#include "check.h"

#include "core/arena/layout.h"

#if defined(__x86_64__)
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>

enum { STEPS_MAX = 20000, SOME = 16 };
static int stride = 1; /* instructions between two stops that are tried */

/* The child, which stops itself first. */
static void open_it(int flags)
{
    char text[4] = "";
    CHECK_EQ(ptrace(PTRACE_TRACEME, 0, NULL, NULL), 0);
    raise(SIGSTOP);
    const int fd = hosted_open("build/f", flags | O_CLOEXEC, 0);
    CHECK(fd >= 0);
    if (flags == O_WRONLY)
        CHECK_EQ(pwrite(fd, "own", 3, 0), 3);
    else
        CHECK_EQ(pread(fd, text, 3, 0), 3);
    _exit(flags == O_WRONLY || strcmp(text, "new") == 0 ? 0 : 1);
}

static void memory_is(uint64_t bytes)
{
    bench.region.header->max_memory_bytes = bytes;
    bench.region.header->room_ns = 0; /* what was found a moment ago is of another one */
}

/* 1: stopped; 0: it has ended. */
static int goes_on(pid_t child, int how)
{
    int status;
    CHECK_EQ(ptrace(how, child, NULL, NULL), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    return WIFSTOPPED(status);
}

static long call_of(pid_t child)
{
    struct user_regs_struct registers;
    CHECK_EQ(ptrace(PTRACE_GETREGS, child, NULL, &registers), 0);
    return (long)registers.orig_rax;
}

/* Stopped where the kernel is asked for it. */
static int comes_to(pid_t child, long first, long second)
{
    do {
        if (!goes_on(child, PTRACE_SYSCALL))
            return 0;
    } while (call_of(child) != first && call_of(child) != second);
    return 1;
}

/* Who opens the old file is stopped `steps` instructions after he has looked at it. 0 when he had
 * asked the kernel for something, as for who he is before he takes the lock, or ended before. */
static int one(int flags, int steps)
{
    bench_open();
    hosted_write("build/f", "old");
    flush_everything();
    refresh_everything();
    CHECK_EQ(velo_evict(&bench.region, node_at("build/f")), 0);
    memory_is(flags == O_WRONLY ? 1 : BENCH_MEMORY_BYTES); /* full: it is written on disk */
    const pid_t child = fork();
    if (child == 0)
        open_it(flags);
    int status, stopped;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(comes_to(child, SYS_openat, SYS_open));
    memory_is(BENCH_MEMORY_BYTES);
    hosted_write("build/f", "new"); /* it is in memory; what is on disk is the old one yet */
    CHECK(goes_on(child, PTRACE_SYSCALL));
    CHECK(comes_to(child, SYS_fstat, SYS_newfstatat));
    stopped = goes_on(child, PTRACE_SYSCALL);
    for (int step = 0; stopped && step < steps; step++)
        stopped = goes_on(child, PTRACE_SINGLESTEP) && (step == 0 || call_of(child) == -1);
    flush_everything();
    refresh_everything();
    CHECK_EQ(velo_evict(&bench.region, node_at("build/f")), 0);
    ptrace(PTRACE_DETACH, child, NULL, NULL);
    CHECK(child_ended_well(child));
    CHECK(hosted_says("build/f", flags == O_WRONLY ? "own" : "new"));
    bench_close();
    return stopped;
}

static void try_each(int flags)
{
    int steps = 0;
    while (steps < STEPS_MAX && one(flags, steps))
        steps += stride;
    printf("    %d instructions\n", steps);
    CHECK(steps > SOME * stride);
    CHECK(steps < STEPS_MAX);
}

static void who_reads_what_went_into_memory_and_back_sees_the_new_bytes(void)
{
    try_each(O_RDONLY);
}

static void who_writes_what_went_into_memory_and_back_writes_the_new_file(void)
{
    try_each(O_WRONLY);
}

int main(int argc, char **argv)
{
    stride = argc > 1 ? atoi(argv[1]) : stride;
    RUN(who_reads_what_went_into_memory_and_back_sees_the_new_bytes);
    RUN(who_writes_what_went_into_memory_and_back_writes_the_new_file);
    return 0;
}
#else
int main(void)
{
    printf("  instructions are counted on x86-64 only\n");
    return 0;
}
#endif
