/* say.c - functions of libc that hand bytes to a descriptor, or to the standard error, past any stream that we see: a
 * step whose text cannot be known is run again. */
#include <features.h>
#undef __USE_EXTERN_INLINES
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "preload/base/pointers.h"
#include "preload/base/raw.h"
#include "preload/replay/said.h"

EXPORT int vdprintf(int fd, const char *restrict format, va_list values)
{
    velo_unit_wrote(fd);
    return NEXT(vdprintf)(fd, format, values);
}

EXPORT int dprintf(int fd, const char *restrict format, ...)
{
    va_list values;
    va_start(values, format);
    const int done = vdprintf(fd, format, values);
    va_end(values);
    return done;
}

int __vdprintf_chk(int fd, int flag, const char *restrict format, va_list values);
int __dprintf_chk(int fd, int flag, const char *restrict format, ...);

EXPORT int __vdprintf_chk(int fd, int flag, const char *restrict format, va_list values)
{
    velo_unit_wrote(fd);
    return NEXT(__vdprintf_chk)(fd, flag, format, values);
}

EXPORT int __dprintf_chk(int fd, int flag, const char *restrict format, ...)
{
    va_list values;
    va_start(values, format);
    const int done = __vdprintf_chk(fd, flag, format, values);
    va_end(values);
    return done;
}

EXPORT void perror(const char *text)
{
    velo_unit_wrote(2);
    NEXT(perror)(text);
}

EXPORT void psignal(int number, const char *text)
{
    velo_unit_wrote(2);
    NEXT(psignal)(number, text);
}

EXPORT void psiginfo(const siginfo_t *info, const char *text)
{
    velo_unit_wrote(2);
    NEXT(psiginfo)(info, text);
}
