/* words.h - what a program of a unit was told by its arguments, where their text says what it will ask.
 *
 * In    the arguments of main, at the program's beginning
 * Out   a record of them, of shells, awks and other programs that are told what to look at
 * Never those of compilers, which are long, and of which the sealer wants nothing */
#ifndef VELO_PRELOAD_REPLAY_WORDS_H
#define VELO_PRELOAD_REPLAY_WORDS_H

/* `path` is the program's. */
void velo_words_note(const char *path, int argc, char *const argv[]);

#endif
