/* log.h - what is written down of a unit: a build step that an orchestrator started, with all its descendants.
 *
 * A unit has one file, `<arena>/r/<spawner>-<number>.u`, sparse and mapped by each of its processes. A process that
 * writes a record takes its place by adding to `cursor`. The record's size is stored last, so that a record that a
 * killed process left half-written has none. shards/replay/unit_log.py reads the file: its formats are these
 * structures. */
#ifndef VELO_PRELOAD_REPLAY_LOG_H
#define VELO_PRELOAD_REPLAY_LOG_H

#include "preload/base/preload.h"

#define VELO_LOG_MAGIC 0x31474c56u /* "VLG1" */
#define VELO_LOG_BYTES (8u << 20) /* address space; what is not written takes no memory */
#define VELO_LOG_DIRECTORY "/r" /* in the arena */

/* Why a unit is not cached: the first reason that was met. */
enum velo_taint {
    VELO_TAINT_NONE = 0,
    VELO_TAINT_TOO_MANY, /* the log is full */
    VELO_TAINT_OPAQUE, /* a program that cannot be entered ran */
    VELO_TAINT_SOCKET,
    VELO_TAINT_LISTED, /* a directory's names were read */
    VELO_TAINT_CHANGED_IN_PLACE, /* a file that was there before was opened to be changed */
    VELO_TAINT_WROTE_OUTSIDE,
    VELO_TAINT_LINKED, /* a hard link, a FIFO, an extended attribute: not put back yet */
    VELO_TAINT_UNNAMED, /* a path that has no text */
    VELO_TAINT_ORCHESTRATOR, /* a build tool ran inside: its own steps are the units */
    VELO_TAINT_DEVICE, /* /proc, /sys, a device or a FIFO was opened */
    VELO_TAINT_SENT_SIGNAL,
    VELO_TAINT_TIMES, /* explicit times were set */
    VELO_TAINT_SHARED_MEMORY,
    VELO_TAINT_LEFT, /* another root, namespace or user */
    VELO_TAINT_STDIN, /* its standard input is something to read */
    VELO_TAINT_INHERITED, /* a descriptor that its build tool had open was used */
    VELO_TAINT_INSIDE, /* libc opened files by calls that are not seen (wrap/inside.c) */
    /* What some programs may ask (programs.py): records, not reasons. */
    VELO_TAINT_CLOCK = 64, /* the wall clock, as a number */
    VELO_TAINT_RANDOM,
    VELO_TAINT_MACHINE, /* its name */
    VELO_TAINT_CALENDAR, /* a moment was made a date */
    VELO_TAINT_SEEDS, /* randomness that no secret is made of: where the names of a table go */
    VELO_TAINT_NO_INPUT, /* its standard input was read, and is /dev/null */
    VELO_TAINT_NO_TERMINAL, /* /dev/tty: there is none */
    VELO_TAINT_RESOURCES, /* how much memory and how many processors there are to use */
    VELO_TAINT_INTERVAL, /* a clock that tells how long something took */
    VELO_TAINT_LOAD, /* how busy or how full the machine is */
    VELO_TAINT_LIMITS, /* what it may use: ulimit */
};

enum velo_record_kind {
    VELO_RECORD_KEY =
        1, /* of the spawner: program, working directory and arguments, each ended by 0 */
    VELO_RECORD_ENVIRONMENT, /* variables, each ended by 0; flags: VELO_VARIABLES_... */
    VELO_RECORD_WHY, /* why an entry did not answer: number of the fact */
    VELO_RECORD_PROGRAM, /* a process began: its program's path, name and first argument, or its script, each
                            ended by 0; flags: VELO_PROGRAM_... */
    VELO_RECORD_OBJECT, /* a shared object that it has mapped */
    VELO_RECORD_FORKED, /* a process began without a new program: the pid of the one that forked it */
    VELO_RECORD_READ, /* flags: VELO_READ_TO_RUN */
    VELO_RECORD_ABSENT, /* flags: VELO_ABSENT_... */
    VELO_RECORD_STAT,
    VELO_RECORD_LSTAT,
    VELO_RECORD_ACCESS,
    VELO_RECORD_LINK, /* the text that readlink gave follows the path */
    VELO_RECORD_NO_LINK, /* it is none */
    VELO_RECORD_REAL, /* the resolved path follows the path */
    VELO_RECORD_ERROR, /* flags: the errno */
    VELO_RECORD_WRITE, /* flags: VELO_WRITE_... */
    VELO_RECORD_GONE, /* removed; flags: 1 when there was nothing */
    VELO_RECORD_RENAME, /* two paths */
    VELO_RECORD_MKDIR, /* flags: 1 when it was there */
    VELO_RECORD_SYMLINK,
    VELO_RECORD_CHMOD,
    VELO_RECORD_FSTAT, /* no path: attributes of open files were asked for, with times */
    VELO_RECORD_TEXT, /* of the spawner: what the unit said; flags: 1 stdout or both, 2 stderr */
    VELO_RECORD_HOSTED, /* at the freeze: a struct velo_hosted, then the path */
    VELO_RECORD_LIST, /* a directory's names were read */
    VELO_RECORD_ASKED, /* flags: a VELO_TAINT_... from 64 on, VELO_ASKED_... */
    VELO_RECORD_SECOND_NAME, /* two paths: a hard link */
    VELO_RECORD_NAMED, /* a path of the workspace was named whole, not from a directory in it; flags: 1 more may
                          have been */
    VELO_RECORD_SAID, /* as TEXT, of the process that said it */
    VELO_RECORD_WORDS, /* of the program that began last: where it stands, and its arguments, each ended by 0; flags:
                          VELO_WORDS_... */
    VELO_RECORD_VARIABLE, /* a name that a program asked for (getenv) */
};

enum {
    VELO_ASKED_BY_PLUGIN = 128, /* code that the program loaded after its start */
    VELO_ASKED_AGAIN = 256 /* the time, more than once with no file read in between */
};
enum {
    VELO_PROGRAM_TEXT = 1, /* what to do was given as an argument, not as a file */
    VELO_PROGRAM_MODULE = 2 /* or by a name that is looked for: python -m */
};
enum {
    VELO_WORDS_CUT = 1, /* there is more than is said */
    VELO_WORDS_INPUT = 2 /* its standard input is not /dev/null */
};
enum {
    VELO_VARIABLES_IGNORED = 1, /* those that do not count, unless a program asked for them */
    VELO_VARIABLES_CUT = 2 /* there are more than are said, or can be asked for by name */
};
enum { VELO_READ_TO_RUN = 1 /* as a program, its interpreter or a library, not by a call */ };
enum { VELO_ABSENT_ITSELF = 1 /* lstat */, VELO_ABSENT_OPENED = 2 };
enum {
    VELO_WRITE_TRUNCATED = 1,
    VELO_WRITE_NEW = 2,
    VELO_WRITE_MAYBE_NEW = 4,
    VELO_WRITE_APPENDS = 8
};

/* What a hosted path is when the unit ends. */
struct velo_hosted {
    uint64_t size, inode;
    int64_t mtime_ns, ctime_ns;
    uint32_t mode; /* 0: nothing is there */
    uint32_t
        kept; /* 1: its bytes are in `<arena>/r/<digest>.b`; for a symlink, its text follows the path */
    uint8_t digest[32];
};

/* What the standard streams of the unit lead to, two bits each: input, output, errors; 64 where both of these are the
 * same; and from bit 16 on, the columns of their terminal. */
enum { VELO_STREAM_NULL = 0, VELO_STREAM_PIPE = 1, VELO_STREAM_FILE = 2, VELO_STREAM_OTHER = 3 };

/* What the unit was given besides its streams. */
struct velo_given {
    uint64_t inode, device;
};
#define VELO_GIVEN_MAX 32u

struct velo_log {
    uint32_t magic, state; /* state: 1 while it runs, 2 when it ended */
    _Atomic uint64_t cursor;
    _Atomic uint32_t started; /* programs that were about to run */
    _Atomic uint32_t enlisted; /* that began with us in them */
    _Atomic uint32_t failed; /* that the kernel did not start */
    _Atomic uint32_t forked,
        vouched; /* lives of a process image: begun without exec; ended where we saw what it said */
    _Atomic uint32_t spoke; /* writes to its outputs that are not written down, or not yet */
    _Atomic uint32_t taint, taint_process;
    uint32_t streams;
    uint32_t captured; /* the spawner read all that the unit said */
    uint32_t root; /* pid */
    int32_t status; /* as wait tells it */
    int64_t began_ns, ended_ns; /* stamps of the arena */
    int64_t began_at_ns, ended_at_ns; /* CLOCK_MONOTONIC */
    uint8_t key[32];
    uint8_t rest[32]; /* velo_step_rest */
    uint32_t alive; /* a process of it was still there at the end */
    uint32_t expected; /* number of the entry plus 1 that would have answered: it is verified */
    uint64_t streams_inode[3]; /* of what its standard streams are */
    uint32_t configures; /* cmake tries compilers in it: build tools are members then */
    _Atomic uint32_t said; /* bytes that its processes wrote down */
    uint64_t streams_device[3];
    _Atomic uint32_t given_count; /* stored when `given` is written, by the first program */
    _Atomic uint32_t terminal; /* its columns plus 1, where a program measured it; 0: none did */
    struct velo_given given[VELO_GIVEN_MAX];
    uint8_t counted[32]; /* velo_step_counted */
};
_Static_assert(sizeof(struct velo_log) == 776, "unit_log.py reads it");

struct velo_record {
    _Atomic uint32_t size; /* of all of it, a multiple of 8; 0: torn */
    uint16_t kind, flags;
    uint32_t process;
    uint32_t length; /* of what follows */
};

/* The log of that path, mapped; NULL when it cannot be. */
struct velo_log *velo_log_map(const char *path);
void velo_log_unmap(struct velo_log *log);

/* Appends a record to `log`: two pieces of bytes, one of which may be empty. */
void velo_log_append(struct velo_log *log, enum velo_record_kind kind, unsigned flags,
                     const void *first, size_t first_length, const void *second,
                     size_t second_length);
/* The step cannot be replayed; the first reason stays. */
void velo_log_taint(struct velo_log *log, enum velo_taint reason);

#endif
