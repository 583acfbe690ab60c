/* key.h - what a step is, before it runs: program, arguments, working directory, environment and what it inherits. */
#ifndef VELO_PRELOAD_REPLAY_KEY_H
#define VELO_PRELOAD_REPLAY_KEY_H

#include "kernel/sha256.h"
#include "log.h"

#define VELO_VARIABLES_MAX 384u
#define VELO_NAME_OF_MACHINE "\1" /* the variable whose value uname tells */
#define VELO_MACHINE_BYTES (sizeof VELO_NAME_OF_MACHINE "=" + 64)

struct velo_step {
    const char *program; /* as it is named */
    char *const *argv, *const *envp;
    uint32_t streams; /* VELO_STREAM_..., two bits each */
    uint16_t width; /* of its terminal, in columns; 0: none. gcc asks its input for it */
    uint64_t pipes[2]; /* inodes of the pipes that descriptors 1 and 2 lead to, or 0 */
    uint64_t inodes[3], devices[3]; /* of what the three streams lead to */
    uint8_t key[VELO_SHA256_BYTES];
    /* Its environment by name, and of equal names in their order; with the machine's name. */
    struct velo_variable {
        const char *text;
        uint32_t place; /* where it stood */
    } variables[VELO_VARIABLES_MAX + 1];
    char machine[VELO_MACHINE_BYTES];
    uint32_t variable_count;
    bool has_more; /* variables than that */
    bool has_counted, has_rest; /* as velo_step_counted and velo_step_rest have made them */
    uint8_t counted[VELO_SHA256_BYTES], rest[VELO_SHA256_BYTES];
    const char *names; /* `named` is that of this list; NULL: of none yet */
    uint8_t named[VELO_SHA256_BYTES];
};

/* What a program could find out of where its output goes: `streams` without the input, whether both are one, and how
 * wide the terminal is. */
static inline uint32_t velo_step_outlets(const struct velo_step *step)
{
    return (step->streams & ~3u) |
           (uint32_t)(step->inodes[1] == step->inodes[2] && step->devices[1] == step->devices[2])
               << 6 |
           (uint32_t)step->width << 16;
}
/* Fills the key. False: it has none (the working directory has no path). */
bool velo_step_identify(struct velo_step *step);
/* The digest of all variables that count, whatever a program looks at. */
const uint8_t *velo_step_counted(struct velo_step *step);
/* The same of those that have a name of this list, each ended by 0, in the order of strcmp, the last one empty. NULL:
 * there are too many to tell. */
const uint8_t *velo_step_named(struct velo_step *step, const char *names);
/* A digest of what some programs print and others ignore: the order of the variables, those that do not count,
 * processors and limits. */
const uint8_t *velo_step_rest(struct velo_step *step);
/* May the variable count? Not one that names a terminal, a session or a slot of a job. */
bool velo_variable_counts(const char *entry);
/* Is it noise of ours, or of the shell alone? */
bool velo_variable_is_noise(const char *entry);
/* The text that the key has of it: without the jobserver's words in MAKEFLAGS. */
size_t velo_variable_text(const char *entry, char *out, size_t room);

#endif
