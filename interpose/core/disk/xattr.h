/* xattr.h - default ACLs of directories (xattr.c). */
#ifndef VELO_CORE_XATTR_H
#define VELO_CORE_XATTR_H

#include "core/arena/layout.h"

/* Note whether the directory at `path` has a default ACL (VELO_NODE_ACL). */
void velo_default_acl_probe(struct velo_region *region, uint32_t directory, const char *path);

#endif
