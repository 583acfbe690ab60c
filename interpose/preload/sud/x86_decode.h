/* x86_decode.h - what other files call of x86_decode.c. */
#ifndef VELO_PRELOAD_SUD_X86_DECODE_H
#define VELO_PRELOAD_SUD_X86_DECODE_H

#include "preload/base/preload.h"

/* Bytes of the instruction at `code`, at least 1; 0 when it makes no sense or ends behind `end`. */
size_t velo_x86_length(const unsigned char *code, const unsigned char *end);

#endif
