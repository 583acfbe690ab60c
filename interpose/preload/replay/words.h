/* words.h - what a program of a unit was told by its arguments, where their text says what it will ask.
 *
 * In    the arguments of main, at the program's beginning
 * Out   what a record of them says, of shells, awks and other programs that are told what to look at
 * Never those of compilers, which are long, and of which the sealer wants nothing */
#ifndef VELO_PRELOAD_REPLAY_WORDS_H
#define VELO_PRELOAD_REPLAY_WORDS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct velo_words {
    unsigned flags; /* VELO_WORDS_... (log.h) */
    char cwd[PATH_MAX]; /* "": unknown */
    const char *text; /* all of them, each ended by 0 */
    size_t length;
};

/* `path` is the program's. False: the words are not told. */
bool velo_words_of(const char *path, int argc, char *const argv[], struct velo_words *words);

#endif
