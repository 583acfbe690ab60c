/* across.c - rename and link from and to names without a path: `a/a/.../a`, 4,090 characters below a directory
 * that is not the root; and rename of directories outside with hosted ones below. */
#include "across.h"

#include "preload/base/raw.h"
#include "preload/path/claim.h"
#include "preload/write/relocate.h"

struct name {
    int fd;
    const char *path;
    struct velo_place place;
    bool is_hosted;
};

static int write_back(struct name *name)
{
    const int claimed =
        velo_claim(name->fd, name->path, VELO_WALK_NOFOLLOW | VELO_WALK_LAST, &name->place);
    const enum velo_type type = name->place.at.type;
    name->is_hosted = claimed == VELO_OURS;
    if (!name->is_hosted)
        return claimed < 0 ? claimed : 0;
    if (type != VELO_REGULAR && type != VELO_NONE)
        return -EXDEV;
    name->fd = AT_FDCWD;
    name->path = name->place.text.path;
    const int rc = type == VELO_NONE ? 0 : velo_writeback(velo_here(), name->place.at.node, 0);
    /* A process has it open for writing: what it writes from now on goes to the disk, too. */
    return rc == 1 ? (velo_relocate_place(&name->place, false) == 0 ? 0 : -EXDEV) : rc;
}

static int write_both_back(struct name names[2])
{
    const int rc = write_back(&names[0]);
    return rc != 0 ? rc : write_back(&names[1]);
}

static long ask_disk(struct name names[2], long rc)
{
    for (int i = 0; i < 2 && rc == 0; i++)
        if (names[i].is_hosted)
            velo_revalidate(velo_here(), &names[i].place);
    return rc;
}

long velo_across_rename(int fd, const char *from, int to_fd, const char *to)
{
    struct name names[2] = {{.fd = fd, .path = from}, {.fd = to_fd, .path = to}};
    const int rc = write_both_back(names);
    return rc != 0 ? rc
                   : ask_disk(names, raw_rename(names[0].fd, names[0].path, names[1].fd,
                                                names[1].path, 0));
}

long velo_across_link(int fd, const char *from, int to_fd, const char *to, int flags)
{
    struct name names[2] = {{.fd = fd, .path = from}, {.fd = to_fd, .path = to}};
    const int rc = write_both_back(names);
    return rc != 0 ? rc
                   : ask_disk(names, raw_link(names[0].fd, names[0].path, names[1].fd,
                                              names[1].path, flags));
}

/* ---- hosted directories below ---------------------------------------------------------------- */

#define ATTEMPTS_MAX 64 /* each lets the files of one hosted directory go on at their real paths */

int velo_above_rename(int fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    struct velo_region *region = velo_here();
    struct velo_two_names names = {
        .from = from, .to = to, .from_fd = fd, .to_fd = to_fd, .flags = flags};
    struct stat stat;
    int rc = 1;
    if (region == NULL || velo_cannot_read_text(from) || velo_cannot_read_text(to) ||
        raw_statat(fd, from, &stat, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(stat.st_mode))
        return 1;
    velo_outside_changed(region);
    for (int attempts = 0; attempts < ATTEMPTS_MAX; attempts++) {
        rc = velo_rename_above(region, &names);
        const struct velo_place place = {
            .at = {.kind = VELO_HOSTED, .type = VELO_DIRECTORY, .node = names.held}};
        if (rc != -EXDEV || !velo_is_node(names.held) || velo_relocate_place(&place, true) != 0)
            break;
    }
    return rc;
}
