/* xattr.c - extended attributes, access control lists among them, go with the bytes from memory to
 * disk and back.  The store keeps bytes only: a file with attributes leaves memory for the disk.
 *
 * Only the kernel can say which rights a directory's ACL gives to which user, and which mode to a new file: in
 * such a directory files are born on disk. */
#include "xattr.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>

#include "kernel/os.h"
#include "core/tree/tree.h"

/* Labels of security modules: a file has them where it is, whether it is given them or not. Other names that
 * begin with "security." (capabilities, hashes of IMA) were set by a process that may do more than the owner,
 * perhaps. */
static int is_label(const char *name)
{
    return strcmp(name, "security.selinux") == 0 || strncmp(name, "security.SMACK64", 16) == 0;
}

/* The kernel may have given the file such an attribute where it is now: that is no reason to keep it there. */
static int may_be_lost(const char *name)
{
    return strncmp(name, "security.", 9) == 0 && strcmp(name + 9, "capability") != 0;
}

static int copy_each(int from, int to, const char *names, long length, char *value, int all)
{
    int rc = 0;
    for (long at = 0; at < length; at += (long)strlen(names + at) + 1) {
        long done =
            velo_sys4(SYS_fgetxattr, from, velo_word(names + at), velo_word(value), XATTR_SIZE_MAX);
        if (done >= 0)
            done = velo_sys5(SYS_fsetxattr, to, velo_word(names + at), velo_word(value), done, 0);
        if (done < 0 && !(all ? is_label(names + at) : may_be_lost(names + at)))
            rc = (int)done;
    }
    return rc;
}

static int copy_xattrs(int from, int to, int all)
{
    if (velo_sys3(SYS_flistxattr, from, 0, 0) <= 0) /* none, or a disk that has none */
        return 0;
    char *names = velo_os_memory(XATTR_LIST_MAX + XATTR_SIZE_MAX);
    if (names == NULL)
        return -ENOMEM;
    const long length = velo_sys3(SYS_flistxattr, from, velo_word(names), XATTR_LIST_MAX);
    const int rc = copy_each(from, to, names, length, names + XATTR_LIST_MAX, all);
    velo_os_unmap(names, XATTR_LIST_MAX + XATTR_SIZE_MAX);
    return rc;
}

int velo_copy_xattrs(int from, int to)
{
    return copy_xattrs(from, to, 0);
}

int velo_copy_all_xattrs(int from, int to)
{
    return copy_xattrs(from, to, 1);
}

int velo_has_xattrs(int fd)
{
    char names[1024];
    const long length = velo_sys3(SYS_flistxattr, fd, velo_word(names), sizeof names);
    for (long at = 0; at < length; at += (long)strlen(names + at) + 1)
        if (!is_label(names + at))
            return 1;
    return length == -ERANGE;
}

/* A file without a name where the node's files are on disk; -errno: there can be none. */
static int open_on_disk(struct velo_region *region, velo_node_id node)
{
    char *path = velo_os_memory(PATH_MAX);
    if (path == NULL)
        return -ENOMEM;
    int rc = velo_path_of(region, node, path);
    if (rc > 0) {
        *strrchr(path, '/') = 0;
        rc = velo_os_open(path[0] != 0 ? path : "/", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    }
    velo_os_unmap(path, PATH_MAX);
    return rc;
}

int velo_xattr_fits(struct velo_region *region, velo_node_id node, int fd,
                    const struct velo_attribute *attribute)
{
    enum { SMALL_BYTES = 512 }; /* any disk takes that as the first: ext4 has a block for all */
    if (attribute->size > XATTR_SIZE_MAX ||
        (attribute->size <= SMALL_BYTES && !velo_has_xattrs(fd)))
        return 0;
    const int on_disk = open_on_disk(region, node);
    if (on_disk < 0)
        return 0;
    velo_copy_all_xattrs(fd, on_disk);
    const long rc = velo_sys5(SYS_fsetxattr, on_disk, velo_word(attribute->name),
                              velo_word(attribute->value), (long)attribute->size, 0);
    velo_os_close(on_disk);
    return rc == -ENOSPC || rc == -EDQUOT || rc == -E2BIG ? (int)rc : 0;
}

/* One call for both lists, the directory's own and the one for new files in it; most directories have none. */
static int has_acl(const char *path)
{
    static const char prefix[] = "system.posix_acl_";
    char names[1024];
    const long length = velo_sys3(SYS_llistxattr, velo_word(path), velo_word(names), sizeof names);
    for (long at = 0; at < length; at += (long)strlen(names + at) + 1)
        if (strncmp(names + at, prefix, sizeof prefix - 1) == 0)
            return 1;
    return length == -ERANGE;
}

void velo_acl_probe(struct velo_region *region, velo_node_id directory, const char *path)
{
    struct velo_node *node = velo_node_at(region, directory);
    const uint32_t now = has_acl(path) ? VELO_NODE_ACL : 0;
    struct velo_hold hold;
    if ((VELO_READ(node->flags) & VELO_NODE_ACL) == now)
        return;
    velo_begin(region, &hold);
    if (node->type == VELO_DIRECTORY)
        velo_set32(region, &node->flags, (node->flags & ~(uint32_t)VELO_NODE_ACL) | now);
    velo_commit(region, &hold);
}
