/* actions.h - the list of actions of posix_spawn, as libc lays it out. */
#ifndef VELO_PRELOAD_WRAP_ACTIONS_H
#define VELO_PRELOAD_WRAP_ACTIONS_H

#include <spawn.h>

/* An entry of posix_spawn_file_actions_t, as libc lays it out since there are such lists; tags were
 * only ever added at the end. tests/fidelity runs each of them. */
enum action_tag {
    ACTION_CLOSE,
    ACTION_DUP2,
    ACTION_OPEN,
    ACTION_CHDIR,
    ACTION_FCHDIR,
    ACTION_CLOSEFROM,
};
struct __spawn_action {
    int tag;
    union {
        int fd; /* CLOSE, FCHDIR, CLOSEFROM */
        char *path; /* CHDIR */
        struct {
            int from, to;
        } dup2;
        struct {
            int fd;
            char *path;
            int flags;
            mode_t mode;
        } open;
    };
};

#endif
