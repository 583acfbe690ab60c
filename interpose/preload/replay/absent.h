/* absent.h - names that are not there, proved by the directory in which they would be.
 *
 * A compiler asks for each header in a dozen directories. As long as such a directory is as it was, a name that it
 * did not have is not there now. So one question for each directory and lookup answers for all names in it. */
#ifndef VELO_PRELOAD_REPLAY_ABSENT_H
#define VELO_PRELOAD_REPLAY_ABSENT_H

#include <stdbool.h>
#include <stdint.h>

struct velo_proof {
    uint32_t directory, serial; /* zero: none */
};

/* What follows is for one thread at a time; false: another is at it. `sure`: no process changes names in hosted
 * directories now but by our calls; at `doubted_ns` one may have. */
bool velo_absent_begin(bool sure, int64_t doubted_ns);
void velo_absent_end(void);
/* Does `proof` hold still? Each directory is asked for once in a lookup, of which `lookup` is the number. */
bool velo_absent_proved(const struct velo_proof *proof, int64_t lookup);
/* Asks for `path`, whose text stays for ever: true when there is nothing, with or without a proof for later lookups.
 * False says nothing: ask otherwise. */
bool velo_absent_prove(const char *path, int64_t lookup, struct velo_proof *proof);

#endif
