/* oracle.h - a program that does what a script says and prints all that a program can see of it.
 *
 * In    scripts on stdin: `begin NAME UID keep|remove`, operations, `end`
 * Out   one line per operation, then the whole tree, then `done NAME STATUS`
 * Never a value that differs between two native runs: inode and device numbers are counted in order
 *       of appearance, times are compared with what was seen before, order of listings is sorted.
 *
 * An operation is a line of words: its name and arguments. Descriptors, directory streams, maps and
 * FILEs live in numbered slots, so that a script can name what it does not know. A path may begin
 * with `@`, the script's own directory, or `^`, another one that velo does not host; `{text*N}` is
 * text N times; %xx is a byte; `''` is nothing, and NULL, BAD1 and BAD2 are pointers to nowhere.
 * Each script runs in a child of its own, in a new directory. What a script has seen (names of
 * inodes, times) is in memory shared with its forked, spawned and exec'd children. */
#ifndef ORACLE_H
#define ORACLE_H

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

enum {
    SLOTS = 16,         /* descriptors of one context */
    OTHERS = 4,         /* streams, FILEs and maps each */
    SEEN_MAX = 4096,    /* files that one script may look at */
    SCRIPT_MAX = 1 << 20,
    LINE_MAX_BYTES = 1 << 16,
    PATH_BYTES = 9000,  /* more than the kernel takes: being refused is a result too */
    WORDS_MAX = 16,
    LANES_MAX = 8,
    DATA_MAX = 1 << 20,
    FD_OUT = 700,       /* our own descriptors, where no script comes by accident */
    FD_SHARED = 701,
    FD_CONTROL = 702,
    FD_ANSWERS = 703,
    MESSAGE_BYTES = 64, /* to FD_CONTROL, the rest zeroes: less than a pipe takes at once */
};

/* A file that was seen, known by device, inode and birth: a number that is used again is another
 * file. */
struct seen {
    uint64_t inode;
    int64_t device, birth_ns, mtime_ns, ctime_ns;
    int64_t newest_ns; /* the latest time seen on any file when this one was last looked at */
    int64_t
        gone; /* it lost its last name, or crossed a border: another one with that number is not it */
};

struct observed {
    int64_t newest_ns, devices[8];
    uint32_t count, device_count;
    struct seen seen[SEEN_MAX];
};

/* In a memfd, mapped by every process of a script. */
struct shared {
    struct observed observed;
    int with_times; /* the kernel's stamps are finer than its tick (multigrain) */
    char program[4096], base[8192], outside[8192], above[4096];
    uint32_t length;
    char script[SCRIPT_MAX];
};

struct map {
    unsigned char *address;
    size_t length;
};

/* Flags of walks for walks.c alone. */
enum {
    ORACLE_NAMED = 1 << 20,
    ORACLE_SORTED = 1 << 21,
    ORACLE_CHILDREN = 1 << 22,
    ORACLE_NAMES = 1 << 23,
};

struct context {
    int fds[SLOTS];
    DIR *dirs[OTHERS];
    long positions[OTHERS];
    FILE *files[OTHERS];
    struct map maps[OTHERS];
    struct observed *observed;
    char *names; /* what `skip` read of a directory, one per line */
    const char
        *lane; /* with others at the same time: "l0", else NULL; fd numbers are not printed */
    char *collected; /* what a lane printed so far */
    size_t collected_length, collected_size;
    int line;
    struct seen *doomed; /* see before_removal */
    size_t used;
    char text[LINE_MAX_BYTES]; /* of the line being made */
    int next_path;
    char paths[4][PATH_BYTES];
};

typedef void (*operation)(struct context *c, char **a);
struct operation_name {
    const char *name;
    int least; /* arguments */
    operation run;
};
extern const struct operation_name file_operations[], name_operations[], attribute_operations[],
    directory_operations[], walk_operations[], lock_operations[], stdio_operations[],
    transfer_operations[], process_operations[];
extern struct shared *shared;

/* main.c */
void run_line(struct context *c, const char *line, size_t length);
void run_lines(struct context *c, uint32_t from, uint32_t to, int line);
void context_clear(struct context *c);

/* process.c */
uint32_t run_block(struct context *c, const char *word, uint32_t from, uint32_t to, int *line);
int is_block(const char *word);
uint32_t next_line(uint32_t at);

/* words.c: arguments */
const char *path_of(struct context *c, const char *word);
long number(const char *word); /* 17, 0644, O_RDWR|O_CREAT */
int slot_of(const char *word, int count);
int fd_of(struct context *c, const char *word); /* a slot's; `.` is AT_FDCWD, `-` is -1 */
void fill(unsigned char *data, size_t length, unsigned seed);
const char *error_name(int code);

/* observe.c: results */
void say(struct context *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void say_result(struct context *c, long result); /* the number, or the name of errno */
void say_fd(struct context *c, const char *slot, int fd); /* and keep it in the slot */
void say_data(struct context *c, const void *data, long length);
void say_text(struct context *c, const char *text,
              size_t length); /* base becomes @, outside ^, above ~ */
void say_stat(struct context *c, const struct stat *st, int dirfd, const char *path, int flags);
void say_statx(struct context *c, const struct statx *st, unsigned wanted);
/* Before a name is taken away, and after it was: the number it had may be used again at once, even
 * within the same tick of the clock, so that birth does not tell the two files apart. */
void before_removal(struct context *c, int dirfd, const char *path);
long after_removal(struct context *c, long result);
/* All files are looked at for the first time again. */
void see_anew(struct observed *o);
char type_letter(mode_t mode);
uint64_t hash_of(const void *data, size_t length);

#endif
