/* Tables of users (utmp) in a hosted directory: libc opens, locks and writes them by itself. */
#include <utmp.h>
#include <utmpx.h>

#include "say.h"

static void list(void)
{
    setutxent();
    for (struct utmpx *entry; (entry = getutxent()) != NULL;)
        printf("%s on %s\n", entry->ut_user, entry->ut_line);
    endutxent();
}

int main(void)
{
    struct utmpx entry = {.ut_type = USER_PROCESS, .ut_pid = 7, .ut_line = "tty9", .ut_id = "9"};
    strcpy(entry.ut_user, "first");
    const int fd = open("table", O_CREAT | O_WRONLY, 0644);
    SAY(write(fd, &entry, sizeof entry) == sizeof entry);
    close(fd);
    SAY(utmpxname("table"));
    list();
    strcpy(entry.ut_user, "second");
    strcpy(entry.ut_id, "10");
    SAY(pututxline(&entry) != NULL);
    list();
    strcpy(entry.ut_user, "third");
    updwtmpx("table", &entry);
    list();
    struct stat stat_of_table;
    SAY(stat("table", &stat_of_table));
    printf("%ld entries\n", (long)(stat_of_table.st_size / (off_t)sizeof entry));
    write_file("after", "text");
    SAY(rename("after", "later"));
    show_file("later");
    IN_CHILD("child", {
        write_file("by a child", "");
        SAY(access("later", R_OK));
    });
    return 0;
}
