/* A table of users that is only added to: updwtmp opens it by itself, and makes none. */
#include <utmp.h>

#include "say.h"

int main(void)
{
    struct utmp entry = {.ut_type = USER_PROCESS, .ut_line = "tty9"};
    updwtmp("none", &entry);
    SAY(access("none", F_OK));
    write_file("table", "");
    updwtmp("table", &entry);
    struct stat stat_of_table;
    SAY(stat("table", &stat_of_table));
    printf("%d\n", stat_of_table.st_size == sizeof entry);
    return 0;
}
