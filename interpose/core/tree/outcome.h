/* outcome.h - answers inside the core that no program sees.
 *
 * In    what a step of a call found out
 * Out   0 or more, -errno, or one of these, which are below all errnos and stand for one thing each
 * Never past the door: the caller of such a step handles it, and gives a program 0, a descriptor or -errno.
 *       That an errno meant one of them (-ENOENT: look again) was rejected: the kernel says that, too */
#ifndef VELO_CORE_OUTCOME_H
#define VELO_CORE_OUTCOME_H

enum velo_outcome {
    /* What the walk saw is not so any more. The call walks and tries again, a limited number of times. */
    VELO_AGAIN = -6000,
    /* Memory does not know it; the kernel is to be asked, at the place that comes with the answer. */
    VELO_ASK_THE_KERNEL = -6001,
    /* Of a rename: something below would be out of reach of any path. It is done across the border. */
    VELO_BEYOND_REACH = -6002,
    /* Of a walk, which stops where it is. Something is to be done outside of its steady read, and then it
     * goes on or begins again: */
    VELO_STOP_NEW_ROOT = -6010, /* text.path is a hosted directory without a node */
    VELO_STOP_NEED_BUFFER = -6011, /* there is a symlink: its text wants room */
    VELO_STOP_WAS_PATH_TOO_LONG =
        -6012, /* text.path in at.parent: was out of reach, and was moved */
};

#endif
