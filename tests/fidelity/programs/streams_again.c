/* Streams that get another file or another mode: freopen with and without a name, of files in memory
 * and on disk; conversions that the mode asks for; what is still to be written when it happens. */
#include "say.h"

#include <locale.h>
#include <pthread.h>
#include <wchar.h>

static void show(const char *name)
{
    char bytes[200] = "";
    struct stat st = {0};
    const int rc = stat(name, &st);
    const int fd = open(name, O_RDONLY);
    const ssize_t got = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
    close(fd);
    printf("%s: %d size %ld:", name, rc, (long)st.st_size);
    for (ssize_t i = 0; i < got; i++)
        printf(" %02x", (unsigned char)bytes[i]);
    printf("\n");
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    fputs(text, file);
    fclose(file);
}

static void in_another_mode(const char *name, const char *first, const char *second)
{
    FILE *file = fopen(name, first);
    if (strchr(first, '+') != NULL || first[0] != 'r')
        fputs("left over ", file);
    FILE *again = freopen(NULL, second, file);
    printf("%s %s %s: %d", name, first, second, again == file);
    if (again != NULL) {
        printf(" at %ld", ftell(again));
        printf(" wrote %d", fputs("by the second", again));
        printf(" closed %d", fclose(again));
    }
    printf("\n");
    show(name);
}

static _Atomic int done;

static void *write_lines(void *stream)
{
    for (int i = 0; i < 2000; i++)
        fputs("0123456789\n", stream);
    done = 1;
    return NULL;
}

/* Each line is in one of the files. */
static void while_others_write(void)
{
    struct stat st;
    pthread_t thread;
    long total = 0;
    char name[20];
    int count = 0;
    FILE *file = fopen("t0", "w");
    pthread_create(&thread, NULL, write_lines, file);
    while (!done && count < 500) {
        snprintf(name, sizeof name, "t%d", ++count);
        file = freopen(name, "w", file);
    }
    pthread_join(thread, NULL);
    fclose(file);
    for (int i = 0; i <= count; i++) {
        snprintf(name, sizeof name, "t%d", i);
        if (stat(name, &st) == 0)
            total += (long)st.st_size;
        unlink(name);
    }
    printf("written by the thread: %ld\n", total);
}

int main(void)
{
    setlocale(LC_ALL, "C.UTF-8");
    in_another_mode("old/a", "r", "r+");
    in_another_mode("old/b", "r", "w");
    in_another_mode("old/c", "r+", "a");
    put("new", "in memory");
    in_another_mode("new", "r", "r+");
    in_another_mode("new", "r", "a+");
    in_another_mode("new", "a", "w+");
    in_another_mode("new", "w", "r");

    FILE *file = fopen("wide", "w,ccs=UTF-16LE");
    printf("%d at %d\n", fputws(L"\u00e4x\u20ac", file), fileno(file));
    fclose(file);
    show("wide");
    file = fopen("wide", "r,ccs=UTF-16LE");
    printf("%lc", (wint_t)fgetwc(file));
    file = freopen("wide", "a,ccs=UTF-16LE", file);
    fputws(L"\u00fc", file);
    fclose(file);
    show("wide");
    file = fopen("wider", "wx,ccs=UTF-8");
    fputws(L"\u00e4", file);
    fclose(file);
    show("wider");
    printf("%d\n", fopen("wider", "wx,ccs=UTF-8") == NULL);

    file = fopen("new", "w");
    fputs("unlinked", file);
    unlink("new");
    file = freopen(NULL, "r+", file);
    char text[20] = "";
    printf("unlinked: %d %s\n", file != NULL, file == NULL ? "" : fgets(text, sizeof text, file));
    while_others_write();
    return 0;
}
