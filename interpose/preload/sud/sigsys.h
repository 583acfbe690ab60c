/* sigsys.h - what other files call of sigsys.c. */
#ifndef VELO_PRELOAD_SUD_SIGSYS_H
#define VELO_PRELOAD_SUD_SIGSYS_H

#include "preload/base/preload.h"

/* sigsys.c: the handler, and the loader, which it must tell from the program's own code. */
void velo_sigsys(int signal, siginfo_t *info, void *context);
void velo_sigsys_find_loader(void);

#endif
