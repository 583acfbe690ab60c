/* disk.h - after everything was put: the real tree is what the namespace says, name by name. */
#ifndef VELO_TESTS_CORE_DISK_H
#define VELO_TESTS_CORE_DISK_H

#include "check.h"

#include <dirent.h>

struct disk_compare {
    char path[PATH_MAX]; /* relative to the workspace */
    unsigned count;
};

static inline void disk_agrees_below(const char *directory);

static inline void disk_agrees_bytes(const char *path, const struct stat *disk)
{
    char a[65536], b[65536];
    const int hosted = hosted_open(path, O_RDONLY | O_CLOEXEC, 0);
    const int real = open(in_workspace(path), O_RDONLY | O_CLOEXEC);
    CHECK(hosted >= 0 && real >= 0);
    for (off_t at = 0; at < disk->st_size;) {
        const ssize_t got = pread(hosted, a, sizeof a, at);
        CHECK_EQ(pread(real, b, sizeof b, at), got);
        CHECK(got > 0 && memcmp(a, b, (size_t)got) == 0);
        at += got;
    }
    close(hosted);
    close(real);
}

static inline int disk_agrees_entry(void *context, const char *name, size_t length, uint64_t inode,
                                    unsigned char type)
{
    struct disk_compare *compare = context;
    char path[PATH_MAX];
    struct stat hosted, disk;
    (void)inode, (void)type;
    compare->count++;
    snprintf(path, sizeof path, "%.3000s/%.*s", compare->path, (int)length, name);
    snprintf(bench.note, sizeof bench.note, "(%.200s)", path);
    CHECK_EQ(hosted_stat(path, &hosted), 0);
    CHECK_EQ(lstat(in_workspace(path), &disk), 0);
    CHECK_EQ(hosted.st_mode, disk.st_mode);
    CHECK_EQ(hosted.st_nlink, disk.st_nlink);
    CHECK_EQ(hosted.st_uid, disk.st_uid);
    if (S_ISREG(disk.st_mode)) {
        CHECK_EQ(hosted.st_size, disk.st_size);
        CHECK_EQ(hosted.st_mtim.tv_sec, disk.st_mtim.tv_sec);
        CHECK_EQ(hosted.st_mtim.tv_nsec, disk.st_mtim.tv_nsec);
        disk_agrees_bytes(path, &disk);
    }
    if (S_ISDIR(disk.st_mode))
        disk_agrees_below(path);
    return 0;
}

static inline void disk_agrees_below(const char *directory)
{
    struct disk_compare compare = {.count = 0};
    snprintf(compare.path, sizeof compare.path, "%.3000s", directory);
    CHECK_EQ(velo_list(&bench.region, node_at(directory), disk_agrees_entry, &compare), 0);
    DIR *dir = opendir(in_workspace(directory));
    CHECK(dir != NULL);
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL; count++) {
        char path[PATH_MAX];
        struct stat st;
        snprintf(path, sizeof path, "%.3000s/%s", directory, entry->d_name);
        snprintf(bench.note, sizeof bench.note, "(%.200s is on disk only?)", path);
        CHECK_EQ(hosted_stat(path, &st), 0);
    }
    closedir(dir);
    snprintf(bench.note, sizeof bench.note, "(entries of %.200s)", directory);
    CHECK_EQ(compare.count, count - 2);
    bench.note[0] = 0;
}

static inline void disk_agrees(void)
{
    disk_agrees_below("build");
}

#endif
