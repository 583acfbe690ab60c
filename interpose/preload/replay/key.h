/* key.h - what a step is, before it runs: program, arguments, working directory, environment and what it inherits. */
#ifndef VELO_PRELOAD_REPLAY_KEY_H
#define VELO_PRELOAD_REPLAY_KEY_H

#include "kernel/sha256.h"
#include "log.h"

struct velo_step {
    const char *program; /* as it is named */
    char *const *argv, *const *envp;
    uint32_t streams; /* VELO_STREAM_..., two bits each */
    uint16_t width; /* of its terminal, in columns; 0: none. gcc asks its input for it */
    uint64_t pipes[2]; /* inodes of the pipes that descriptors 1 and 2 lead to, or 0 */
    uint64_t inodes[3], devices[3]; /* of what the three streams lead to */
    uint8_t key[VELO_SHA256_BYTES];
    uint8_t rest[VELO_SHA256_BYTES]; /* of the variables that the key leaves out: velo_step_rest */
    bool has_rest; /* `rest` has all of it */
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
/* A digest of what some programs print and others ignore: the order of the variables and those that the key leaves
 * out, processors and limits. */
const uint8_t *velo_step_rest(struct velo_step *step);
/* Does the variable count for the key? */
bool velo_variable_counts(const char *entry);
/* The text that the key has of it: without the jobserver's words in MAKEFLAGS. */
size_t velo_variable_text(const char *entry, char *out, size_t room);

#endif
