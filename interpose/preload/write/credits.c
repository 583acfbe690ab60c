/* credits.c - the table of descriptors that may grow a hosted file. */
#include "credits.h"

_Atomic uint32_t velo_write_credits[VELO_WRITE_CREDITS_MAX];
_Atomic int velo_write_credits_top;
