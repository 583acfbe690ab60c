/* zones.c - dates: libc reads the file of a time zone by itself, at each call that finds another zone in $TZ.
 *
 * A step that makes a moment a date is not replayed, as one that asks for the time (clock.c). */
#include <stdlib.h>
#include <time.h>
#include <wchar.h>

#include "preload/path/claim.h"
#include "preload/replay/unit.h"
#include "inside.h"

/* ":/path", "/path", or a name below $TZDIR; else it is the system's, or no file at all. */
static void reads_zone(void)
{
    char path[PATH_MAX];
    const char *zone = velo_here() == NULL ? NULL : velo_variable("TZ");
    if (zone == NULL)
        return;
    zone += *zone == ':';
    const char *directory = *zone == '/' ? NULL : velo_variable("TZDIR");
    if (*zone == '/') {
        velo_libc_reads(zone);
    } else if (directory != NULL && *zone != 0 &&
               strlen(directory) + strlen(zone) + 2 <= sizeof path) {
        stpcpy(stpcpy(stpcpy(path, directory), "/"), zone);
        velo_libc_reads(path);
    }
}

/* The function as it is, in that zone. */
#define IN_ZONE(type, name, parameters, ...)                                                       \
    EXPORT type name parameters                                                                    \
    {                                                                                              \
        reads_zone();                                                                              \
        return NEXT(name)(__VA_ARGS__);                                                            \
    }
/* The same of one that makes a moment a date. */
#define DATE(type, name, parameters, ...)                                                          \
    EXPORT type name parameters                                                                    \
    {                                                                                              \
        velo_asked(VELO_TAINT_CALENDAR, __builtin_return_address(0));                              \
        reads_zone();                                                                              \
        return NEXT(name)(__VA_ARGS__);                                                            \
    }

DATE(struct tm *, localtime, (const time_t *moment), moment)
DATE(struct tm *, localtime_r, (const time_t *restrict moment, struct tm *restrict out), moment,
     out)
DATE(char *, ctime, (const time_t *moment), moment)
DATE(char *, ctime_r, (const time_t *restrict moment, char *restrict out), moment, out)
DATE(struct tm *, gmtime, (const time_t *moment), moment)
DATE(struct tm *, gmtime_r, (const time_t *restrict moment, struct tm *restrict out), moment, out)
ALIAS(__gmtime_r, gmtime_r);

IN_ZONE(void, tzset, (void))
IN_ZONE(time_t, mktime, (struct tm * date), date)
ALIAS(timelocal, mktime);
IN_ZONE(size_t, strftime,
        (char *restrict out, size_t size, const char *restrict format,
         const struct tm *restrict date),
        out, size, format, date)
IN_ZONE(size_t, strftime_l,
        (char *restrict out, size_t size, const char *restrict format,
         const struct tm *restrict date, locale_t locale),
        out, size, format, date, locale)
ALIAS(__strftime_l, strftime_l);
IN_ZONE(size_t, wcsftime,
        (wchar_t *restrict out, size_t size, const wchar_t *restrict format,
         const struct tm *restrict date),
        out, size, format, date)
IN_ZONE(size_t, wcsftime_l,
        (wchar_t *restrict out, size_t size, const wchar_t *restrict format,
         const struct tm *restrict date, locale_t locale),
        out, size, format, date, locale)
ALIAS(__wcsftime_l, wcsftime_l);

/* A file of patterns; what they leave open is today's. */
static void reads_patterns(void)
{
    velo_taint(VELO_TAINT_INSIDE);
    reads_zone();
    velo_libc_reads(velo_variable("DATEMSK"));
}

EXPORT struct tm *getdate(const char *text)
{
    reads_patterns();
    return NEXT(getdate)(text);
}

EXPORT int getdate_r(const char *restrict text, struct tm *restrict out)
{
    reads_patterns();
    return NEXT(getdate_r)(text, out);
}
