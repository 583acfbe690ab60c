/* cap_writer.c - writes `MIB` MiB to a file in one way: cap_writer WAY FILE MIB.
 *
 * What it writes says where in the file it stands, so that a byte at a wrong place shows. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK = 1 << 16, WRITERS = 8, LINE = 64 };
static char block[BLOCK];

static void fail(const char *what)
{
    printf("%s: %s\n", what, strerrorname_np(errno));
    fflush(stdout);
    _exit(1);
}

static void ends_well(pid_t child)
{
    int status;
    if (waitpid(child, &status, 0) != child || status != 0)
        fail("child");
}

static void fill(long at)
{
    for (long i = 0; i < BLOCK; i += LINE) {
        char line[LINE + 1];
        snprintf(line, sizeof line, "%0*ld\n", LINE - 1, at + i);
        memcpy(block + i, line, LINE);
    }
}

static int made(const char *path, int flags)
{
    const int fd = open(path, O_RDWR | O_CREAT | flags, 0644);
    if (fd < 0)
        fail("open");
    return fd;
}

static long raw_write(int fd, const void *bytes, size_t count)
{
#if defined(__x86_64__)
    long rc;
    __asm__ volatile("syscall"
                     : "=a"(rc)
                     : "a"(1), "D"(fd), "S"(bytes), "d"(count)
                     : "rcx", "r11", "memory");
    return rc;
#else
    return syscall(SYS_write, fd, bytes, count);
#endif
}

enum { WRITE, PWRITE, WRITEV, RAW, SYSCALL };

static void blocks(int how, int fd, long size)
{
    for (long at = 0; at < size; at += BLOCK) {
        fill(at);
        struct iovec piece = {block, BLOCK};
        const long done = how == PWRITE    ? pwrite(fd, block, BLOCK, at)
                          : how == WRITEV  ? writev(fd, &piece, 1)
                          : how == RAW     ? raw_write(fd, block, BLOCK)
                          : how == SYSCALL ? syscall(SYS_write, fd, block, (long)BLOCK)
                                           : write(fd, block, BLOCK);
        if (done != BLOCK) {
            if (how == RAW && done < 0)
                errno = (int)-done;
            fail("write");
        }
    }
}

/* Streams: by lines, by characters, by large pieces. */
static void stream(int how, const char *path, long size)
{
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    if (file == NULL)
        fail("fopen");
    for (long at = 0; at < size; at += BLOCK) {
        fill(at);
        for (long i = 0; i < BLOCK; i += LINE)
            if (how == 0)
                fprintf(file, "%.*s", LINE, block + i);
            else if (how == 1)
                for (int j = 0; j < LINE; j++)
                    putc(block[i + j], file);
            else
                fwrite(block + i, LINE, 1, file);
    }
    if (ferror(file) || fclose(file) != 0)
        fail("stream");
}

static void mapped(const char *path, long size, int allocates)
{
    const int fd = made(path, O_TRUNC);
    const int rc = allocates ? posix_fallocate(fd, 0, size) : ftruncate(fd, size);
    if (rc != 0) {
        errno = allocates ? rc : errno;
        fail("longer");
    }
    char *at = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        fail("mmap");
    for (long i = 0; i < size; i += BLOCK) {
        fill(i);
        memcpy(at + i, block, BLOCK);
    }
    munmap(at, (size_t)size);
}

/* The first page stays mapped while the file grows. */
static void mapped_then_written(const char *path, long size)
{
    const int fd = made(path, O_TRUNC);
    fill(0);
    if (write(fd, block, BLOCK) != BLOCK)
        fail("write");
    char *first = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    lseek(fd, 0, SEEK_SET);
    blocks(WRITE, fd, size);
    first[4] = 'x';
    char seen = 0;
    if (pread(fd, &seen, 1, 4) != 1 || seen != 'x')
        fail("mapped");
    first[4] = '0';
}

/* Eight processes, one descriptor or one each; lines in any order. `at_once`: all have opened it before one of
 * them writes. */
static void together(const char *path, long size, int shared, int at_once)
{
    int fd = shared ? made(path, O_APPEND | O_TRUNC) : -1, ready[2], go[2];
    char byte = 0;
    close(made(path, O_APPEND));
    if (pipe(ready) != 0 || pipe(go) != 0)
        fail("pipe");
    for (int writer = 0; writer < WRITERS; writer++) {
        if (fork() != 0)
            continue;
        if (!shared)
            fd = made(path, O_APPEND);
        close(go[1]);
        if (at_once && (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 0))
            fail("ready");
        memset(block, '0' + writer, BLOCK);
        block[BLOCK - 1] = '\n';
        for (long at = 0; at < size / WRITERS; at += BLOCK)
            if (write(fd, block, BLOCK) != BLOCK)
                fail("write");
        _exit(0);
    }
    for (int writer = 0; at_once && writer < WRITERS; writer++)
        if (read(ready[0], &byte, 1) != 1)
            fail("ready");
    close(go[1]);
    for (int status, failed = 0; wait(&status) > 0 || failed;)
        if (status != 0)
            exit(1);
}

/* A block to each of many files that are open at once. */
static void many_open(const char *path, long count)
{
    int *fds = calloc((size_t)count, sizeof *fds);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (long i = 0; i < count; i++) {
        char name[4200];
        snprintf(name, sizeof name, "%s.%ld", path, i);
        fds[i] = made(name, O_TRUNC);
    }
    fill(0);
    for (int round = 0; round < 4; round++)
        for (long i = 0; i < count; i++)
            if (write(fds[i], block, 4096) != 4096)
                fail("write");
}

/* The same, while a child has each third one open, too, and in the end reads there what was written. */
static void many_read(const char *path, long count)
{
    int go[2], told[2];
    char byte = 0;
    if (pipe(go) != 0 || pipe(told) != 0)
        fail("pipe");
    const pid_t child = fork();
    if (child == 0) {
        int *fds = calloc((size_t)count, sizeof *fds);
        for (long i = 0; i < count; i += 3) {
            char name[4200];
            snprintf(name, sizeof name, "%s.%ld", path, i);
            fds[i] = made(name, 0);
        }
        write(told[1], &byte, 1);
        read(go[0], &byte, 1);
        for (long i = 0; i < count; i += 3)
            if (lseek(fds[i], 0, SEEK_END) != 4 * 4096)
                fail("a reader sees another file");
        _exit(0);
    }
    read(told[0], &byte, 1);
    many_open(path, count);
    write(go[1], &byte, 1);
    ends_well(child);
}

static void say_sum(int fd)
{
    unsigned long sum = 0;
    lseek(fd, 0, SEEK_SET);
    for (long got; (got = read(fd, block, BLOCK)) > 0;)
        for (long i = 0; i < got; i++)
            sum = sum * 31 + (unsigned char)block[i];
    printf("%lx\n", sum);
}

/* No name, and larger than memory. */
static void nameless(const char *path, long size)
{
    const int fd = made(path, O_TRUNC);
    unlink(path);
    blocks(WRITE, fd, size);
    say_sum(fd);
}

/* Two opens of one process, and a duplicate of the second: blocks in turn, each where it belongs. */
static void opened_twice(const char *path, long size, int has_name)
{
    const int one = made(path, O_TRUNC), two = open(path, O_WRONLY), again = dup(two);
    if (!has_name)
        unlink(path);
    for (long at = 0; at < size; at += BLOCK) {
        const int odd = (at / BLOCK) % 2 != 0;
        fill(at);
        if (odd ? lseek(two, at, SEEK_SET) != at || write(again, block, BLOCK) != BLOCK
                : pwrite(one, block, BLOCK, at) != BLOCK)
            fail("write");
        if (odd && lseek(two, 0, SEEK_CUR) != at + BLOCK)
            fail("a duplicate has another offset");
    }
    say_sum(one);
}

/* A second name, from the beginning. */
static void linked(const char *path, long size)
{
    char other[4200];
    snprintf(other, sizeof other, "%s.linked", path);
    const int fd = made(path, O_TRUNC);
    if (link(path, other) != 0)
        fail("link");
    blocks(WRITE, fd, size);
}

/* A child has it open to read all the time, and in the end reads there what was written. */
static void read_held(const char *path, long size)
{
    int go[2], told[2];
    char byte = 0;
    close(made(path, O_TRUNC));
    if (pipe(go) != 0 || pipe(told) != 0)
        fail("pipe");
    const pid_t child = fork();
    if (child == 0) {
        const int fd = open(path, O_RDONLY);
        write(told[1], &byte, 1);
        read(go[0], &byte, 1);
        if (lseek(fd, 0, SEEK_END) != size)
            fail("a reader sees another file");
        _exit(0);
    }
    read(told[0], &byte, 1);
    blocks(WRITE, made(path, 0), size);
    write(go[1], &byte, 1);
    ends_well(child);
}

int main(int count, char **argv)
{
    if (count != 4)
        return 2;
    const char *way = argv[1], *path = argv[2];
    const long size = atol(argv[3]) << 20;
    const int out = strcmp(path, "-") == 0;
    static const char *const ways[] = {"write", "pwrite", "writev", "raw", "syscall"};
    for (int how = WRITE; how <= SYSCALL; how++)
        if (strcmp(way, ways[how]) == 0)
            blocks(how, out ? 1 : made(path, O_TRUNC), size);
    static const char *const streams[] = {"fprintf", "putc", "fwrite"};
    for (int how = 0; how < 3; how++)
        if (strcmp(way, streams[how]) == 0)
            stream(how, path, size);
    if (strcmp(way, "append") == 0)
        blocks(WRITE, made(path, O_APPEND), size);
    if (strcmp(way, "mapped") == 0)
        mapped(path, size, 0);
    if (strcmp(way, "allocated") == 0)
        mapped(path, size, 1);
    if (strcmp(way, "mapped-then-written") == 0)
        mapped_then_written(path, size);
    if (strcmp(way, "shared-append") == 0)
        together(path, size, 1, 0);
    if (strcmp(way, "own-append") == 0)
        together(path, size, 0, 0);
    if (strcmp(way, "at-once") == 0)
        together(path, size, 0, 1);
    if (strcmp(way, "many-open") == 0)
        many_open(path, size >> 20);
    if (strcmp(way, "many-read") == 0)
        many_read(path, size >> 20);
    if (strcmp(way, "opened-twice") == 0)
        opened_twice(path, size, 1);
    if (strcmp(way, "nameless-twice") == 0)
        opened_twice(path, size, 0);
    if (strcmp(way, "linked") == 0)
        linked(path, size);
    if (strcmp(way, "read-held") == 0)
        read_held(path, size);
    if (strcmp(way, "nameless") == 0)
        nameless(path, size);
    return 0;
}
