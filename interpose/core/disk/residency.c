/* residency.c - where may a file's bytes live?  See residency.h.
 *
 * Each call that is about to give a file a place asks here, so that no call forgets a reason. The cheap
 * reasons come first; waiting for space is the last. */
#include "residency.h"

#include <fcntl.h>

#include "core/presence/watch.h"
#include "core/tree/path.h"
#include "core/tree/tree.h"
#include "space.h"

/* A file cannot be moved when processes share it, or when it is written where we do not see it: by a static
 * program, by libc's own streams, through a map. So it stays in memory only where it has room to grow. */
static int goes_unseen(const struct velo_region *region, const struct velo_place *place)
{
    return place->asked.unmovable && !velo_has_grant(region);
}

enum velo_residency velo_residency_of_new(struct velo_region *region,
                                          const struct velo_place *place, velo_node_id directory,
                                          int flags)
{
    if (velo_is_watched(region, directory))
        return VELO_DISK_WATCHED;
    if ((VELO_READ(velo_node_at(region, directory)->flags) & VELO_NODE_ACL) != 0)
        return VELO_DISK_ACL;
    if ((flags & (O_EXCL | O_TMPFILE)) == 0 && velo_names_a_lock(place))
        return VELO_DISK_LOCK;
    if (velo_opaque_runs(region))
        return VELO_DISK_OPAQUE;
    if (goes_unseen(region, place))
        return VELO_DISK_UNSEEN;
    const uint32_t home = velo_home_of(region, place->text.path, place->text.path_length);
    return velo_space_for_open(region, home, 0) == 0 ? VELO_IN_MEMORY : VELO_DISK_SPACE;
}

enum velo_residency velo_residency_to_write(struct velo_region *region,
                                            const struct velo_place *place,
                                            const struct velo_snapshot *snapshot)
{
    if (velo_belongs_on_disk(region, place->at.node))
        return VELO_DISK_WATCHED;
    if (goes_unseen(region, place))
        return VELO_DISK_UNSEEN;
    if (snapshot->state == VELO_BACKED)
        return VELO_IN_MEMORY;
    if (velo_opaque_runs(region))
        return VELO_DISK_OPAQUE;
    if (velo_is_locked(region, place->at.node) || velo_names_a_lock(place))
        return VELO_DISK_LOCK;
    const struct velo_node *node = velo_node_at(region, place->at.node);
    if (velo_may_copy(region, velo_node_at(region, place->at.parent), node) != 0)
        return VELO_DISK_OTHERS;
    /* A descriptor may know the file by its former tmpfs file (VELO_NODE_HAS_OPATH_FD), and there would be
       another one now. */
    if (VELO_READ(node->identity[VELO_ID_ARENA].linked) != 0)
        return VELO_DISK_OPEN;
    return VELO_IN_MEMORY;
}
