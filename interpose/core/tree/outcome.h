/* outcome.h - answers inside the core that no program sees. */
#ifndef VELO_CORE_OUTCOME_H
#define VELO_CORE_OUTCOME_H

/* Beside 0 and -errno. */
enum {
    VELO_AGAIN = -6000,  /* the node changed under us: look again */
    VELO_BEYOND_REACH = -6001, /* of a rename: something below would be out of reach of any path */
};

#endif
