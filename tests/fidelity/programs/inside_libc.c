/* Functions of libc that look at files by calls of their own: each must find what was just made. */
#include <ftw.h>
#include <fts.h>
#include <glob.h>
#include <libintl.h>
#include <locale.h>
#include <mntent.h>
#include <nl_types.h>
#include <sys/fanotify.h>
#include <sys/ipc.h>
#include <sys/statvfs.h>
#include <time.h>
#include <wordexp.h>

#include "say.h"

static int seen;
static int one(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    printf("nftw %s %d %d\n", path, type, type == FTW_F ? (int)stat->st_size : 0);
    seen += walk->level;
    return 0;
}

/* A message catalogue and a gettext file, made by hand. */
static void make_mo(const char *path, const char *hello)
{
    const unsigned head[7] = {0x950412de, 0, 1, 28, 36, 0, 44};
    const unsigned original[2] = {5, 44}, translated[2] = {7, 50};
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (write(fd, head, 28) + write(fd, original, 8) + write(fd, translated, 8) +
            write(fd, "hello", 6) + write(fd, hello, 8) !=
        58)
        perror(path);
    close(fd);
}

int main(void)
{
    write_file("file", "text\n");
    chmod("file", 0600);
    struct stat stat_of_file;
    stat("file", &stat_of_file);
    const key_t key = ftok("file", 7), other = ftok("none", 7);
    printf("ftok %d %d\n", (key & 0xffff) == (int)(stat_of_file.st_ino & 0xffff), other == -1);
    const int fd = open("file", O_RDONLY);
    for (int name = 0; name <= 20; name++)
        if (fpathconf(fd, name) != pathconf("file", name))
            printf("fpathconf %d differs from pathconf\n", name);
    printf("links %ld, name %ld, size bits %ld, symlink %ld\n", fpathconf(fd, _PC_LINK_MAX),
           fpathconf(fd, _PC_NAME_MAX), fpathconf(fd, _PC_FILESIZEBITS),
           fpathconf(fd, _PC_2_SYMLINKS));

    printf("asynchronous %ld, %ld, %ld\n", fpathconf(fd, _PC_ASYNC_IO),
           pathconf("file", _PC_ASYNC_IO), pathconf(".", _PC_ASYNC_IO));

    write_file("mounts", "none /x proc rw 0 0\nother /y tmpfs ro 0 0\n");
    FILE *mounts = setmntent("mounts", "r");
    for (struct mntent *entry; mounts != NULL && (entry = getmntent(mounts)) != NULL;)
        printf("mount %s %s %s\n", entry->mnt_fsname, entry->mnt_dir, entry->mnt_type);
    if (mounts != NULL)
        endmntent(mounts);
    errno = 0;
    printf("no table: %d %s\n", setmntent("none", "r") == NULL, strerrorname_np(errno));

    mkdir("d", 0755);
    write_file("d/x1", "1");
    write_file("d/x2", "22");
    glob_t found;
    printf("glob %d", glob("d/x*", GLOB_MARK, NULL, &found));
    for (size_t i = 0; i < found.gl_pathc; i++)
        printf(" %s", found.gl_pathv[i]);
    globfree(&found);
    wordexp_t words;
    printf("\nwordexp %d", wordexp("d/x? 'q r'", &words, 0));
    for (size_t i = 0; i < words.we_wordc; i++)
        printf(" [%s]", words.we_wordv[i]);
    wordfree(&words);
    printf("\nnftw %d\n", nftw("d/x1", one, 5, FTW_PHYS));
    char *paths[] = {"d", NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    int count = 0;
    while (fts_read(walk) != NULL)
        count++;
    printf("fts %d\n", count);
    fts_close(walk);

    mkdir("locale", 0755);
    mkdir("locale/xx", 0755);
    mkdir("locale/xx/LC_MESSAGES", 0755);
    make_mo("locale/xx/LC_MESSAGES/app.mo", "bonjour");
    char here[4096];
    if (getcwd(here, sizeof here - 8) == NULL)
        return 1;
    strcat(here, "/locale");
    setlocale(LC_ALL, "C.UTF-8");
    setenv("LANGUAGE", "xx", 1);
    bindtextdomain("app", here);
    textdomain("app");
    printf("gettext %s\n", gettext("hello"));
    mkdir("locale/yy_ZZ", 0755); /* made after the directory was bound */
    mkdir("locale/yy_ZZ/LC_MESSAGES", 0755);
    make_mo("locale/yy_ZZ/LC_MESSAGES/app.mo", "hallo!!");
    setenv("LANGUAGE", "none:yy_ZZ.UTF-8@x:xx", 1);
    printf("dgettext %s\n", dgettext("app", "hello"));
    make_mo("locale/xx/LC_MESSAGES/other.mo", "salut!!");
    bindtextdomain("other", "locale");
    printf("dcgettext %s\n", dcgettext("other", "hello", LC_MESSAGES));
    make_mo("locale/xx/LC_MESSAGES/many.mo", "bon jou");
    bindtextdomain("many", "./locale");
    printf("dngettext %s\n", dngettext("many", "hello", "", 1));
    write_file("words", "$set 1\n1 found\n");
    if (system("gencat words.cat words") != 0)
        return 1;
    setenv("NLSPATH", strcat(here, "/../%N.cat"), 1);
    nl_catd said = catopen("words", 0);
    printf("catopen %s\n", said == (nl_catd)-1 ? "none" : catgets(said, 1, 1, "no message"));
    errno = 0;
    printf("catopen %d %s\n", catopen("./none.cat", 0) == (nl_catd)-1, strerrorname_np(errno));
    write_file("bad.cat", "this is no catalogue, but it is there");
    errno = 0;
    printf("catopen %d %s\n", catopen("./bad.cat", 0) == (nl_catd)-1, strerrorname_np(errno));
    char *name = tempnam(".", "t");
    printf("tempnam %d\n", name != NULL && access(name, F_OK) != 0);
    printf("file %s\n", mktemp((char[]){"d/tXXXXXX"})[0] == 'd' ? "named" : "not");
    close(fd);
    return 0;
}
