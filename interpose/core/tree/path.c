/* path.c - from a node to the text of its path, and the permission to look or change there.
 *
 * Both only read; they are right under the lock or between velo_read_begin and velo_read_retry.  A
 * path is of now: a caller that uses it outside the lock must expect that it leads elsewhere. */
#include "tree.h"

#include <errno.h>
#include <string.h>

#include "kernel/os.h"
#include "core/tree/path.h"

/* ---- paths --------------------------------------------------------------------------------- */

/* Paths are built from their end: the deepest name is known first. */
static int prepend(char path[PATH_MAX], size_t *start, const char *text, size_t length)
{
    if (length + 1 > *start)
        return -ENAMETOOLONG;
    *start -= length;
    memcpy(path + *start, text, length);
    path[--*start] = '/';
    return 0;
}

int velo_directory_path(const struct velo_region *region, velo_node_id directory,
                        char path[PATH_MAX])
{
    size_t start = PATH_MAX - 1;
    char text[VELO_NAME_MAX + 1];
    for (unsigned depth = 0; depth < VELO_DEPTH_MAX; depth++) {
        const struct velo_node *node = velo_node_at(region, directory);
        const uint32_t slot = VELO_READ(node->root_slot);
        if (slot > VELO_ROOTS_MAX || VELO_READ(node->type) != VELO_DIRECTORY)
            return -ENOENT;
        if (slot != 0) {
            const struct velo_root *root = &region->header->roots[slot - 1];
            const size_t length = root->length;
            if (length > start || length >= sizeof root->path)
                return -ENAMETOOLONG;
            memmove(path + length, path + start, PATH_MAX - 1 - start);
            memcpy(path, root->path, length);
            path[length + PATH_MAX - 1 - start] = 0;
            return (int)(length + PATH_MAX - 1 - start);
        }
        const velo_name_id index = VELO_READ_ID(node->first_name);
        if (!velo_is_name(index))
            return -ENOENT;
        const struct velo_name *name = velo_name_at(region, index);
        const size_t length = velo_name_text(region, name, text);
        if (prepend(path, &start, text, length) != 0)
            return -ENAMETOOLONG;
        directory = VELO_READ_ID(name->parent);
    }
    return -ELOOP;
}

int velo_name_path(const struct velo_region *region, velo_node_id parent, const char *text,
                   size_t length, char path[PATH_MAX])
{
    const int above = velo_directory_path(region, parent, path);
    if (above < 0)
        return above;
    if ((size_t)above + 1 + length >= PATH_MAX)
        return -ENAMETOOLONG;
    path[above] = '/';
    memmove(path + above + 1, text, length);
    path[(size_t)above + 1 + length] = 0;
    return above + 1 + (int)length;
}

static int node_path(const struct velo_region *region, velo_node_id index, char path[PATH_MAX])
{
    const struct velo_node *node = velo_node_at(region, index);
    if (VELO_READ(node->type) == VELO_DIRECTORY)
        return velo_directory_path(region, index, path);
    const velo_name_id first = VELO_READ_ID(node->first_name);
    if (!velo_is_node(index) || !velo_is_name(first))
        return -ENOENT;
    char text[VELO_NAME_MAX + 1];
    const struct velo_name *name = velo_name_at(region, first);
    const size_t length = velo_name_text(region, name, text);
    return velo_name_path(region, VELO_READ_ID(name->parent), text, length, path);
}

/* The path of the last name that a file without a name had; -ENOENT also when that directory is gone. */
static int last_path(const struct velo_region *region, velo_node_id index, char path[PATH_MAX])
{
    const velo_name_id last = VELO_READ_ID(velo_node_at(region, index)->last_name);
    const struct velo_name *name = velo_name_at(region, last);
    const velo_node_id directory = VELO_READ_ID(name->last_parent);
    const struct velo_node *above = velo_node_at(region, directory);
    if (!velo_is_name(last) || VELO_READ(above->generation) != VELO_READ(name->last_generation) ||
        VELO_READ(above->type) != VELO_DIRECTORY)
        return -ENOENT;
    char text[VELO_NAME_MAX + 1];
    const size_t length = velo_name_text(region, name, text);
    return velo_name_path(region, directory, text, length, path);
}

typedef int (*path_reader)(const struct velo_region *region, velo_node_id index,
                           char path[PATH_MAX]);

static int read_steadily(struct velo_region *region, path_reader reader, velo_node_id node,
                         char path[PATH_MAX])
{
    for (int attempt = 0; attempt < 1000; attempt++) {
        const uint64_t sequence = velo_read_begin(region);
        if ((sequence & 1) != 0)
            break;
        const int rc = reader(region, node, path);
        if (!velo_read_retry(region, sequence))
            return rc;
    }
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int rc = reader(region, node, path);
    velo_commit(region, &hold);
    return rc;
}

int velo_path_of(struct velo_region *region, velo_node_id node, char path[PATH_MAX])
{
    return read_steadily(region, node_path, node, path);
}

int velo_last_path_of(struct velo_region *region, velo_node_id node, char path[PATH_MAX])
{
    return read_steadily(region, last_path, node, path);
}

void velo_backing_path(const struct velo_region *region, uint64_t backing, char path[320])
{
    char *end = stpcpy(stpcpy(path, region->directory), "/i/");
    for (int shift = 60; shift >= 0; shift -= 4)
        *end++ = "0123456789abcdef"[backing >> shift & 15];
    *end = 0;
}

uint64_t velo_backing_new(struct velo_region *region)
{
    /* The creator's pid is in the name. So a sweep knows of a file without a node whether its creator is
     * dead, or about to publish it. */
    const uint64_t pid = (uint64_t)velo_sys0(SYS_getpid);
    return pid << 40 | (atomic_fetch_add(&region->header->next_backing, 1) & 0xffffffffff);
}

/* ---- permissions --------------------------------------------------------------------------- */

static int in_group(uint32_t gid, uint32_t own)
{
    if (own == gid)
        return 1;
    gid_t groups[64];
    const long count = velo_sys2(SYS_getgroups, 64, velo_word(groups));
    for (long i = 0; i < count; i++)
        if (groups[i] == gid)
            return 1;
    return 0;
}

/* Only the kernel can read an ACL. With or without the lock: if the path changes meanwhile, the answer is that
 * of before or of after. */
__attribute__((noinline)) static int kernel_says(struct velo_region *region,
                                                 const struct velo_node *directory, unsigned wanted,
                                                 int real)
{
    char path[PATH_MAX];
    int length;
    uint64_t sequence;
    do {
        sequence = velo_read_begin(region);
        length = node_path(region, velo_node_id_of(region, directory), path);
    } while ((sequence & 1) == 0 && velo_read_retry(region, sequence));
    if (length < 0)
        return length;
    const int flags = real ? 0 : AT_EACCESS;
    const int rc = velo_os_accessat(AT_FDCWD, path, (int)wanted, flags);
    return rc == -EACCES ? rc : 0; /* what else is wrong with it, the call itself finds */
}

static int may_as(struct velo_region *region, const struct velo_node *directory, unsigned wanted,
                  int real)
{
    const uint32_t mode = VELO_READ(directory->mode);
    if ((VELO_READ(directory->flags) & VELO_NODE_ACL) != 0)
        return kernel_says(region, directory, wanted, real);
    if (((mode & mode >> 3 & mode >> 6) & wanted) == wanted)
        return 0; /* every user may: no need to ask for ours */
    const uint32_t uid = (uint32_t)velo_sys0(real ? SYS_getuid : SYS_geteuid);
    if (uid == 0)
        return 0;
    unsigned granted = mode & 7;
    if (uid == VELO_READ(directory->uid))
        granted = mode >> 6 & 7;
    else if (in_group(VELO_READ(directory->gid),
                      (uint32_t)velo_sys0(real ? SYS_getgid : SYS_getegid)))
        granted = mode >> 3 & 7;
    return (granted & wanted) == wanted ? 0 : -EACCES;
}

int velo_may(struct velo_region *region, const struct velo_node *directory, unsigned wanted)
{
    return may_as(region, directory, wanted, 0);
}

int velo_may_change(struct velo_region *region, const struct velo_place *place)
{
    return velo_parent_is_gone(region, place)
               ? 0
               : velo_may(region, velo_node_at(region, place->at.parent), 3);
}

int velo_may_search(struct velo_region *region, const struct velo_node *directory,
                    unsigned walk_flags)
{
    return may_as(region, directory, 1, (walk_flags & VELO_WALK_REAL) != 0);
}

int velo_may_remove(struct velo_region *region, const struct velo_node *directory,
                    const struct velo_node *node)
{
    const int rc = velo_may(region, directory, 3);
    if (rc != 0 || (directory->mode & S_ISVTX) == 0)
        return rc;
    const uint32_t uid = (uint32_t)velo_sys0(SYS_geteuid);
    return uid == 0 || uid == directory->uid || uid == node->uid ? 0 : -EPERM;
}

int velo_may_copy(struct velo_region *region, const struct velo_node *directory,
                  const struct velo_node *node)
{
    const uint32_t uid = (uint32_t)velo_sys0(SYS_geteuid);
    if (uid == 0)
        return 0;
    if (uid != VELO_READ(node->uid) ||
        !in_group(VELO_READ(node->gid), (uint32_t)velo_sys0(SYS_getegid)))
        return -EPERM;
    return uid == VELO_READ(directory->uid) ? 0 : velo_may(region, directory, 3);
}

/* fs.protected_hardlinks, see proc(5): most systems set it. */
static int links_are_protected(void)
{
    static _Atomic int known; /* 1: no, 2: yes */
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == 0) {
        char text[2];
        velo_os_read_text("/proc/sys/fs/protected_hardlinks", text, sizeof text);
        answer = text[0] == '1' ? 2 : 1;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == 2;
}

int velo_may_link(struct velo_region *region, const struct velo_node *node)
{
    const uint32_t uid = (uint32_t)velo_sys0(SYS_geteuid), mode = VELO_READ(node->mode);
    if (uid == 0 || uid == VELO_READ(node->uid) || !links_are_protected())
        return 0;
    const int plain = S_ISREG(mode) && (mode & S_ISUID) == 0 &&
                      (mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP);
    return plain && may_as(region, node, 6, 0) == 0 ? 0 : -EPERM;
}

int velo_is_below(const struct velo_region *region, velo_node_id directory, velo_node_id ancestor)
{
    for (unsigned depth = 0; velo_is_node(directory) && depth < VELO_DEPTH_MAX; depth++) {
        if (velo_same_node(directory, ancestor))
            return 1;
        directory = velo_node_at(region, directory)->parent;
    }
    return 0;
}

int velo_is_retired(const struct velo_region *region, velo_node_id directory)
{
    if (VELO_READ(region->header->retired_count) == 0)
        return 0;
    for (unsigned depth = 0; velo_is_node(directory) && depth < VELO_DEPTH_MAX; depth++) {
        const struct velo_node *node = velo_node_at(region, directory);
        if ((VELO_READ(node->flags) & VELO_NODE_RETIRED) != 0)
            return 1;
        directory = VELO_READ_ID(node->parent);
    }
    return 0;
}

int velo_parent_is_gone(const struct velo_region *region, const struct velo_place *place)
{
    const struct velo_node *parent = velo_node_at(region, place->at.parent);
    return VELO_READ(parent->type) != VELO_DIRECTORY || VELO_READ(parent->links) == 0 ||
           VELO_READ(parent->generation) != place->at.parent_generation ||
           velo_is_retired(region, place->at.parent);
}

size_t velo_longest_below(const struct velo_region *region, velo_node_id top)
{
    size_t length = 0, longest = 0;
    velo_node_id directory = top;
    if (velo_node_at(region, top)->type != VELO_DIRECTORY)
        return 0;
    velo_name_id at = velo_node_at(region, top)->first_entry;
    for (uint32_t left = velo_walk_steps_max(region);
         left > 0 && (velo_is_name(at) || !velo_same_node(directory, top)); left--) {
        if (!velo_is_name(at)) { /* up again, to what follows */
            const struct velo_name *above =
                velo_name_at(region, velo_node_at(region, directory)->first_name);
            length -= 1u + above->length;
            directory = above->parent;
            at = above->next_entry;
            continue;
        }
        const struct velo_name *name = velo_name_at(region, at);
        const struct velo_node *node = velo_node_at(region, name->node);
        const size_t here = length + 1 + name->length;
        longest = here > longest ? here : longest;
        at = name->next_entry;
        if (node->type == VELO_DIRECTORY) {
            directory = name->node;
            length = here;
            at = node->first_entry;
        }
    }
    return longest;
}
