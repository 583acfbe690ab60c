/* probe.h - what a path is at this moment, as a program would find it by its calls; and what is known of its bytes. */
#ifndef VELO_PRELOAD_REPLAY_PROBE_H
#define VELO_PRELOAD_REPLAY_PROBE_H

#include "kernel/sha256.h"
#include "preload/base/preload.h"

struct velo_probed {
    struct stat stat;
    bool hosted;
    velo_node_id node; /* of a hosted one */
    uint32_t generation;
    uint64_t version;
};

/* 0 or -errno, as stat, or without `follow` as lstat, of the absolute `path`. */
int velo_probe(const char *path, bool follow, struct velo_probed *out);
/* The names in the directory at `path`, with their types, in whatever order. 0 or -errno. */
int velo_names_of(const char *path, uint8_t digest[VELO_SHA256_BYTES]);
/* A descriptor to read it, or -errno. */
int velo_probe_open(const char *path);
/* The digest of the regular file at `path`, which `probed` describes; remembered while the file does not change. 0 or
 * -errno: -EAGAIN when it changed meanwhile. */
int velo_digest_of(const char *path, const struct velo_probed *probed,
                   uint8_t digest[VELO_SHA256_BYTES]);
/* The file of which `probed` tells has these bytes: the caller has written or read all of them before. */
void velo_digest_known(const char *path, const struct velo_probed *probed,
                       const uint8_t digest[VELO_SHA256_BYTES]);

/* A buffer of this thread for as long as the call lasts: VELO_BUFFER_BYTES, mapped. NULL: no memory. */
#define VELO_BUFFER_BYTES (256u << 10)
unsigned char *velo_buffer_take(void);
void velo_buffer_give(unsigned char *buffer);

#endif
