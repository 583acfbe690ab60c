/* openat2.h - what other files call of openat2.c. */
#ifndef VELO_PRELOAD_WRAP_OPENAT2_H
#define VELO_PRELOAD_WRAP_OPENAT2_H

#include "preload/base/preload.h"

long velo_openat2(int dirfd, const char *path, const struct open_how *how, size_t size);

#endif
