/* Files that stood on disk before velo saw them: a reader holds one while a writer comes. Both are
 * one file: bytes, locks, maps, size. The harness makes old/a, old/b and old/c before the start. */
#include <sys/file.h>

#include "say.h"

int main(void)
{
    char text[64] = "";
    const int reader = open("old/a", O_RDONLY);
    SAY(read(reader, text, 3));
    SAY(flock(reader, LOCK_SH));
    const int writer = open("old/a", O_RDWR | O_APPEND);
    SAY(flock(writer, LOCK_EX | LOCK_NB));
    SAY(write(writer, "more\n", 5));
    memset(text, 0, sizeof text);
    SAY(read(reader, text, sizeof text - 1));
    printf("reader: \"%s\"\n", text);
    show_file("old/a");
    struct stat a, b, c;
    fstat(reader, &a), fstat(writer, &b), stat("old/a", &c);
    printf("one file: %d %d, sizes %ld %ld %ld\n", a.st_ino == b.st_ino, b.st_ino == c.st_ino,
           (long)a.st_size, (long)b.st_size, (long)c.st_size);

    const int mapped = open("old/b", O_RDONLY);
    const char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, mapped, 0);
    close(mapped);
    IN_CHILD("writer", {
        const int fd = open("old/b", O_WRONLY);
        SAY(pwrite(fd, "CHANGED", 7, 0));
    });
    printf("mapped: %.7s\n", map);
    show_file("old/b");
    const int truncated = open("old/b", O_WRONLY | O_TRUNC);
    IN_CHILD("map of nothing", printf("%c\n", map[0]));
    SAY(write(truncated, "new", 3));
    printf("mapped: %.3s\n", map);
    show_file("old/b");

    FILE *tail = fopen("old/c", "r");
    while (fgets(text, sizeof text, tail) != NULL)
        printf("tail: %s", text);
    IN_CHILD("append", {
        FILE *log = fopen("old/c", "a");
        fputs("appended\n", log);
        fclose(log);
    });
    clearerr(tail);
    printf("tail: %s", fgets(text, sizeof text, tail) == NULL ? "nothing\n" : text);
    SAY(truncate("old/c", 4));
    fstat(fileno(tail), &a);
    printf("tail's size %ld\n", (long)a.st_size);
    SAY(chmod("old/c", 0600));
    fstat(fileno(tail), &a);
    printf("tail's mode %o\n", a.st_mode);
    return 0;
}
