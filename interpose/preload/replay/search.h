/* search.h - where the loader looks for libraries before it finds them.
 *
 * In    the objects that are mapped, LD_LIBRARY_PATH
 * Out   for each directory that they name and each library: is it there? In the unit's log
 * Never the loader's cache and the system's own directories: what is taken from there is known by its path */
#ifndef VELO_PRELOAD_REPLAY_SEARCH_H
#define VELO_PRELOAD_REPLAY_SEARCH_H

/* Writes down what a library that appears would change. Only in a unit. */
void velo_search_note(void);

#endif
