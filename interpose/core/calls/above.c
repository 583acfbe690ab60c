/* above.c - rename of a directory outside that has hosted directories below it.
 *
 * For the kernel they go along.  For us their path is what they are known by: so what is in them is put
 * on disk, the kernel renames, and they are forgotten where they were; where they are now they are taken
 * in by the process that looks first, if velo.toml names them there.
 *
 * In    the rename as the program asked for it, both ends outside
 * Out   the kernel's answer; EXDEV when a file in there is being written, as of any rename out of memory
 * Never a look at roots by the text of the program's path: symlinks and ".." make other texts of it */
#include "core/tree/tree.h"

#include <errno.h>
#include <sys/stat.h>

#include "core/disk/root.h"
#include "core/calls/across.h"
#include "kernel/os.h"

enum { EXCHANGE = 2 };

struct renaming {
    velo_node_id roots[VELO_ROOTS_MAX];
    uint32_t generations[VELO_ROOTS_MAX];
    uint32_t count;
    char path[PATH_MAX]; /* of one root, cut shorter and shorter */
};

static int is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* Does a directory above renaming->path be that one? */
static int is_below(struct renaming *renaming, const struct stat *directory)
{
    struct stat above;
    for (char *slash; (slash = strrchr(renaming->path, '/')) != NULL && slash != renaming->path;) {
        *slash = 0;
        if (velo_os_lstat(renaming->path, &above) == 0 && is_same(&above, directory))
            return 1;
    }
    return 0;
}

/* Asks the kernel of each directory above each root: such renames are rare. */
static void collect(struct velo_region *region, struct renaming *renaming,
                    const struct stat *directory)
{
    const struct velo_header *header = region->header;
    const uint32_t count = velo_roots_used(region);
    for (uint32_t i = 0; i < count && renaming->count < VELO_ROOTS_MAX; i++) {
        const velo_node_id node = VELO_READ_ID(header->roots[i].node);
        if (!velo_is_node(node) || velo_path_of(region, node, renaming->path) < 0 ||
            !is_below(renaming, directory))
            continue;
        renaming->generations[renaming->count] = VELO_READ(velo_node_at(region, node)->generation);
        renaming->roots[renaming->count++] = node;
    }
}

static int is_there(const struct velo_region *region, const struct renaming *renaming, uint32_t i)
{
    const struct velo_node *node = velo_node_at(region, renaming->roots[i]);
    return VELO_READ(node->generation) == renaming->generations[i] &&
           VELO_READ(node->type) == VELO_DIRECTORY;
}

static int writeback_all(struct velo_region *region, const struct renaming *renaming)
{
    int rc = 0;
    for (uint32_t i = 0; i < renaming->count && rc == 0; i++)
        if (is_there(region, renaming, i))
            rc = velo_writeback_leaving(region, renaming->roots[i]);
    return rc;
}

static int rename_locked(struct velo_region *region, const struct renaming *renaming,
                         struct velo_two_names *names)
{
    for (uint32_t i = 0; i < renaming->count; i++)
        if (is_there(region, renaming, i) && velo_has_left_locked(region, renaming->roots[i])) {
            names->held = renaming->roots[i];
            return -EXDEV;
        }
    return velo_os_renameat(names->from_fd, names->from, names->to_fd, names->to, names->flags);
}

static int move_all(struct velo_region *region, const struct renaming *renaming,
                    struct velo_two_names *names)
{
    struct velo_hold hold;
    int rc = writeback_all(region, renaming);
    if (rc != 0)
        return rc;
    velo_escape(region, VELO_ESCAPE_ACROSS);
    velo_begin(region, &hold);
    rc = velo_finish(region, &hold, rename_locked(region, renaming, names));
    for (uint32_t i = 0; i < renaming->count && rc == 0; i++)
        if (is_there(region, renaming, i))
            velo_root_forget(region, renaming->roots[i]);
    return rc;
}

int velo_rename_above(struct velo_region *region, struct velo_two_names *names)
{
    struct stat directory;
    int rc = 1;
    names->held = VELO_NO_NODE;
    if (VELO_READ(region->header->root_count) == 0 ||
        velo_os_lstatat(names->from_fd, names->from, &directory) != 0)
        return 1;
    struct renaming *renaming = velo_os_memory(sizeof *renaming);
    if (renaming == NULL)
        return -ENOMEM;
    if (S_ISDIR(directory.st_mode))
        collect(region, renaming, &directory);
    if ((names->flags & EXCHANGE) != 0 &&
        velo_os_lstatat(names->to_fd, names->to, &directory) == 0 && S_ISDIR(directory.st_mode))
        collect(region, renaming, &directory);
    if (renaming->count > 0)
        rc = move_all(region, renaming, names);
    velo_os_unmap(renaming, sizeof *renaming);
    return rc;
}
