/* xattr.c - extended attributes, access control lists among them, go with the bytes from memory to
 * disk and back.  The store keeps bytes only: a file with attributes leaves memory for the disk. */
#include "file.h"

#include <errno.h>
#include <linux/limits.h>
#include <string.h>

#include "os.h"
#include "tree.h"

/* Labels of security modules: a file has them where it is, whether it is given them or not. */
static int is_label(const char *name)
{
    return strncmp(name, "security.", 9) == 0 && strcmp(name + 9, "capability") != 0;
}

static int copy_each(int from, int to, const char *names, long length, char *value)
{
    int rc = 0;
    for (long at = 0; at < length; at += (long)velo_length(names + at) + 1) {
        long done = velo_sys4(SYS_fgetxattr, from, velo_word(names + at), velo_word(value),
                              XATTR_SIZE_MAX);
        if (done >= 0)
            done = velo_sys5(SYS_fsetxattr, to, velo_word(names + at), velo_word(value), done, 0);
        if (done < 0 && !is_label(names + at))
            rc = (int)done;
    }
    return rc;
}

int velo_copy_xattrs(int from, int to)
{
    if (velo_sys3(SYS_flistxattr, from, 0, 0) <= 0) /* none, or a disk that has none */
        return 0;
    const long names = velo_os_map(XATTR_LIST_MAX + XATTR_SIZE_MAX);
    if (names < 0 && names > -4096)
        return (int)names;
    const long length = velo_sys3(SYS_flistxattr, from, names, XATTR_LIST_MAX);
    const int rc = copy_each(from, to, (char *)names, length, (char *)names + XATTR_LIST_MAX);
    velo_os_unmap(names, XATTR_LIST_MAX + XATTR_SIZE_MAX);
    return rc;
}

int velo_has_xattrs(int fd)
{
    char names[1024];
    const long length = velo_sys3(SYS_flistxattr, fd, velo_word(names), sizeof names);
    for (long at = 0; at < length; at += (long)velo_length(names + at) + 1)
        if (!is_label(names + at))
            return 1;
    return length == -ERANGE;
}
