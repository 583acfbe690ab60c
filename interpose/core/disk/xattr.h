/* xattr.h - ACLs of directories (xattr.c). */
#ifndef VELO_CORE_XATTR_H
#define VELO_CORE_XATTR_H

#include "core/arena/layout.h"

/* Note whether the directory at `path` has an ACL, or one for what is made in it (VELO_NODE_ACL). */
void velo_acl_probe(struct velo_region *region, uint32_t directory, const char *path);

#endif
