/* missing.c - is the file in memory there that a node should have?  See missing.h.
 *
 * Velo removes no file in memory while its node is BACKED: the node leaves that state first, under the lock.
 * So BACKED without a file, seen under the lock, is an outsider's doing. */
#include "missing.h"

#include <errno.h>

#include "kernel/os.h"
#include "core/arena/layout.h"
#include "core/tree/path.h"
#include "core/tree/tree.h"

int velo_is_missing_locked(const struct velo_region *region, const struct velo_node *node)
{
    char path[320];
    struct stat stat;
    if (node->type != VELO_REGULAR || node->state != VELO_BACKED || node->links == 0)
        return 0;
    velo_backing_path(region, node->backing, path);
    const int rc = velo_os_lstat(path, &stat);
    return rc != 0 ? rc == -ENOENT || rc == -ENOTDIR
                   : !S_ISREG(stat.st_mode) || stat.st_ino != node->identity[VELO_ID_ARENA].inode;
}

int velo_is_missing(struct velo_region *region, velo_node_id index)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int missing = velo_is_missing_locked(region, velo_node_at(region, index));
    velo_commit(region, &hold);
    return missing;
}

void velo_missing_ask(struct velo_region *region, velo_node_id index)
{
    if (region->ask != NULL && velo_is_missing(region, index))
        region->ask(region, VELO_ASK_WRITEBACK, VELO_READ(velo_node_at(region, index)->home),
                    index.slot);
}
