/* tree.h - slots, names, links and identities: the locked steps that every operation is made of.
 *
 * Functions that end in _locked need the namespace lock (velo_begin) and store only through
 * velo_set; a caller that meets an error later undoes them all with velo_abort.  The others read,
 * and are right either under the lock or between velo_read_begin and velo_read_retry. */
#ifndef VELO_CORE_TREE_H
#define VELO_CORE_TREE_H

#include "core/arena/pool.h"
#include "kernel/text.h"

#include <sys/stat.h>

/* ---- names --------------------------------------------------------------------------------- */
void velo_name_flags_locked(struct velo_region *region, velo_name_id name, unsigned flags);
/* Record that `version` of the node stands on disk under this name, as `stat` says; NULL: nothing does. */
void velo_name_disk_locked(struct velo_region *region, velo_name_id name, uint64_t version,
                           const struct stat *stat);
/* `stat` is of a disk copy that names of `node` share: its new ctime and the like is no outsider's change.
 * Unlike all other steps this one is not undone by an abort: the disk has it whatever becomes of us, and a
 * file may have more names than the undo log has room. */
void velo_names_record_locked(struct velo_region *region, velo_node_id node,
                              const struct stat *stat);
/* A process that meets a name between a writer's rename and its record looks again after a pause, for
 * 30 seconds in all: that rename may wait for a journal. */
#define VELO_WRITER_PAUSE_NS 50000
#define VELO_WRITER_WAITS_MAX 600000
/* Free what nothing names any more. All but BACKED files go at once; those stay until
 * velo_refresh_attributes finds that no process has them open. */
void velo_node_drop_locked(struct velo_region *region, velo_node_id node);
/* Take a name out with everything below it, in memory only. Takes and leaves the lock once per
 * entry, so a kill in the middle leaves a whole, smaller tree. */
void velo_forget(struct velo_region *region, velo_node_id parent, const char *text, size_t length);

/* ---- attributes ---------------------------------------------------------------------------- */
/* Copy mode, owner, size and times of a kernel stat into the node. */
void velo_take_stat_locked(struct velo_region *region, velo_node_id node, const struct stat *from);
/* `disk` is of a DISK file, or of a symlink and the like: has it names outside, too? Then it is asked
 * each time from now on, until all its names are found here. */
void velo_linked_outside_locked(struct velo_region *region, velo_node_id node,
                                const struct stat *disk);
void velo_not_linked_outside_locked(struct velo_region *region, velo_node_id node,
                                    const struct stat *disk);
/* A change of content or attributes of a regular file that is or will be. */
void velo_dirty_locked(struct velo_region *region, velo_node_id node);
/* Keep header.programs_pending true for this file. */
void velo_program_locked(struct velo_region *region, velo_node_id node);
/* True when each name of the file has its current version on disk; of a DISK file always. */
int velo_on_disk(const struct velo_region *region, const struct velo_node *node);
/* ---- paths --------------------------------------------------------------------------------- */

/* Is it poison that lstat found under a name of a regular file? */
static inline int velo_is_poison(const struct velo_region *region, const struct stat *disk)
{
    return region->header->poison != 0 && S_ISSOCK(disk->st_mode);
}

#endif
