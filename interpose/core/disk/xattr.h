/* xattr.h - ACLs of directories (xattr.c). */
#ifndef VELO_CORE_XATTR_H
#define VELO_CORE_XATTR_H

#include "core/arena/layout.h"

/* Note whether the directory at `path` has an ACL, or one for what is made in it (VELO_NODE_ACL). */
void velo_acl_probe(struct velo_region *region, velo_node_id directory, const char *path);
/* Extended attributes: 0, or -errno when one cannot be had or set there; whether there are any. Labels
 * of security modules do not count; for velo_copy_xattrs nor what else of "security." only root may set. */
int velo_copy_xattrs(int from, int to);
int velo_copy_all_xattrs(int from, int to);
int velo_has_xattrs(int fd);

#endif
