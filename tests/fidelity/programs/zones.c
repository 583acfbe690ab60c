/* Time zones in a hosted directory: libc reads their files by itself, whenever $TZ has changed. */
#include <time.h>
#include <wchar.h>

#include "say.h"

/* A zone without changes: "ABC" is so many seconds east of UTC. */
static void make_zone(const char *path, const char *name, int seconds)
{
    unsigned char file[54] = "TZif";
    file[39] = 1; /* one kind of time, */
    file[43] = 4; /* whose name has three letters */
    for (int i = 0; i < 4; i++)
        file[44 + i] = (unsigned char)((unsigned)seconds >> (24 - 8 * i));
    memcpy(file + 50, name, 4);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (write(fd, file, sizeof file) != sizeof file)
        perror(path);
    close(fd);
}

static char here[2048];
static const time_t start;

static void set_zone(const char *before, const char *path)
{
    char text[4096];
    snprintf(text, sizeof text, "%s%s%s", before, path[0] == '=' ? "" : here,
             path + (path[0] == '='));
    setenv("TZ", text, 1);
}

int main(void)
{
    char text[64];
    wchar_t wide[64];
    struct tm date = {.tm_year = 70, .tm_mday = 1};
    if (getcwd(here, sizeof here) == NULL)
        return 1;
    mkdir("zones", 0755);
    mkdir("zones/area", 0755);
    make_zone("zones/area/one", "ONE", 3600);
    make_zone("zones/two", "TWO", 7200);

    set_zone(":", "/zones/area/one");
    printf("localtime %d\n", localtime(&start)->tm_hour);
    set_zone("", "/zones/two");
    tzset();
    printf("tzset %s %ld\n", tzname[0], timezone);
    set_zone("", "/zones/area/one");
    printf("localtime_r %s\n", localtime_r(&start, &date)->tm_zone); /* as tzset left it */
    set_zone("", "/zones/area/one");
    printf("ctime %s", ctime(&start));
    set_zone("", "/zones/two");
    date = (struct tm){.tm_year = 70, .tm_mday = 1};
    printf("mktime %ld\n", (long)mktime(&date));
    set_zone("", "/zones/area/one");
    strftime(text, sizeof text, "%s", &date);
    printf("strftime %s\n", text);
    set_zone("", "/zones/two");
    wcsftime(wide, 64, L"%s", &date);
    printf("wcsftime %ls\n", wide);

    snprintf(text, sizeof text, "/zones");
    setenv("TZDIR", strcat(here, text), 1);
    set_zone("", "=area/one");
    tzset();
    printf("TZDIR %s\n", tzname[0]);
    make_zone("zones/new", "NEW", -60);
    set_zone(":", "=new");
    tzset();
    printf("made late %s\n", tzname[0]);
    set_zone("", "=UTC0");
    tzset();
    make_zone("zones/new", "AGN", -120);
    set_zone(":", "=new");
    tzset();
    printf("made again %s\n", tzname[0]);
    set_zone("", "=UTC0");
    tzset();
    unlink("zones/new");
    set_zone(":", "=new");
    tzset();
    printf("removed %ld\n", timezone);
    write_file("patterns", "%Y-%m-%d\n");
    setenv("DATEMSK", "patterns", 1);
    SAY(getdate("2001-02-03") != NULL);
    return 0;
}
