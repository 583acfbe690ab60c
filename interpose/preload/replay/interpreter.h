/* interpreter.h - where an interpreter finds what it is to run.
 *
 * In    the arguments of main
 * Out   its script, or that it is a module, or a text
 * Never what the script is told: `python3 gen.py -c` runs gen.py */
#ifndef VELO_PRELOAD_REPLAY_INTERPRETER_H
#define VELO_PRELOAD_REPLAY_INTERPRETER_H

/* VELO_PROGRAM_TEXT, VELO_PROGRAM_MODULE, or 0; `*script` is a file or a module, or "". Of a program that is no
 * interpreter, its first argument, if that is no option. */
unsigned velo_interpreter_told(const char *path, int argc, char *const argv[], const char **script);

#endif
