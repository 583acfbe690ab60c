/* links.c - symlinks outside hosted directories that lead into them: which texts may be one.
 *
 * Outside, a path is the kernel's, and nobody looks whether its last component is a symlink. But a
 * link to a file that is in memory only leads nowhere on disk. So the few such links are remembered,
 * as hashes of their paths, when they are made and when an arena is made for a workspace that has
 * some at its top (compile_commands.json, bazel-out). Hints: a wrong one costs one readlink. */
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "os.h"

static uint32_t hash_of(const char *text, size_t length)
{
    const uint32_t hash = velo_hash(0x6c696e6b, text, length);
    return hash != 0 ? hash : 1;
}

void velo_link_note(struct velo_region *region, const char *text)
{
    struct velo_header *header = region->header;
    const uint32_t hash = hash_of(text, velo_length(text));
    for (uint32_t i = 0; i < VELO_LINKS_MAX; i++) {
        _Atomic uint32_t *slot = &header->links[(hash + i) % VELO_LINKS_MAX];
        uint32_t seen = 0;
        if (atomic_compare_exchange_strong(slot, &seen, hash)) {
            atomic_fetch_add(&header->link_count, 1);
            return;
        }
        if (seen == hash)
            return;
    }
}

int velo_link_known(const struct velo_region *region, const char *text, size_t length)
{
    const struct velo_header *header = region->header;
    if (atomic_load_explicit(&header->link_count, memory_order_relaxed) == 0)
        return 0;
    const uint32_t hash = hash_of(text, length);
    for (uint32_t i = 0; i < VELO_LINKS_MAX; i++) {
        const uint32_t seen = atomic_load_explicit(&header->links[(hash + i) % VELO_LINKS_MAX],
                                                   memory_order_relaxed);
        if (seen == hash || seen == 0)
            return seen == hash;
    }
    return 1; /* too many to tell */
}

static void note_entry(struct velo_region *region, const char *name)
{
    char text[PATH_MAX];
    struct stat stat;
    const size_t base = region->header->workspace_length, length = velo_length(name);
    if (base + 1 + length >= sizeof text)
        return;
    memcpy(text, region->header->workspace, base);
    text[base] = '/';
    memcpy(text + base + 1, name, length + 1);
    if (velo_os_lstat(text, &stat) == 0 && S_ISLNK(stat.st_mode))
        velo_link_note(region, text);
}

void velo_links_of_workspace(struct velo_region *region)
{
    char dents[4096];
    const int fd = velo_os_open(region->header->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    for (;;) {
        const long got = velo_sys3(SYS_getdents64, fd, velo_word(dents), sizeof dents);
        if (got <= 0)
            break;
        for (long at = 0; at < got;) {
            const struct dirent64 *entry = (const void *)(dents + at);
            if (entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN)
                note_entry(region, entry->d_name);
            at += entry->d_reclen;
        }
    }
    velo_os_close(fd);
}
