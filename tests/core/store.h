/* store.h - the shard's half that a test needs to bring files to COLD and back: a store of bytes in
 * the arena's directory, and the `ask` that a client's open ends in.
 *
 * A digest here is the store's own serial number: the core never looks inside one. */
#ifndef VELO_TESTS_CORE_STORE_H
#define VELO_TESTS_CORE_STORE_H

#include "check.h"

static inline void store_path(const uint8_t digest[32], char path[160])
{
    uint64_t serial;
    memcpy(&serial, digest, sizeof serial);
    snprintf(path, 160, "%s/stored.%llu", bench.arena, (unsigned long long)serial);
}

static inline void copy_all(int from, int to)
{
    char bytes[16384];
    for (ssize_t got; (got = read(from, bytes, sizeof bytes)) > 0;)
        CHECK_EQ(write(to, bytes, (size_t)got), got);
}

/* Store the present bytes of a node. 0, -ESTALE when it changed meanwhile, -errno. */
static inline int store_node(velo_node_id node)
{
    static uint64_t serial;
    uint8_t digest[32] = {0};
    char path[160];
    struct velo_node_info info;
    const int known = velo_node_info(&bench.region, node, &info);
    const int from = known != 0 ? known : velo_open_bytes(&bench.region, node);
    if (from < 0)
        return from;
    serial++;
    memcpy(digest, &serial, sizeof serial);
    store_path(digest, path);
    const int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(to >= 0);
    copy_all(from, to);
    close(from);
    close(to);
    return velo_stored(&bench.region, &info, digest);
}

static inline int load_node(struct velo_region *region, velo_node_id node)
{
    uint64_t token;
    char path[160];
    struct velo_node_info info;
    int rc = velo_node_info(region, node, &info);
    if (rc != 0)
        return rc;
    const int to = velo_load_begin(region, node, &token);
    if (to < 0)
        return to == -EALREADY ? 0 : to;
    store_path(info.digest, path);
    const int from = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(from >= 0);
    copy_all(from, to);
    close(from);
    rc = velo_load_end(region, &info, token, to);
    return rc == -EALREADY ? 0 : rc;
}

static inline void make_room(struct velo_region *region)
{
    struct velo_node_info info[64];
    uint32_t cursor = 0;
    flush_everything();
    do {
        const uint32_t count = velo_scan(region, UINT32_MAX, &cursor, info, 64);
        for (uint32_t i = 0; i < count; i++) {
            velo_refresh_attributes(region, info[i].node);
            if (info[i].state == VELO_BACKED)
                velo_evict(region, info[i].node);
        }
    } while (cursor != 0);
}

static inline int answer(struct velo_region *region, uint32_t verb, uint32_t shard,
                         uint64_t argument)
{
    (void)shard;
    if (verb == VELO_ASK_LOAD)
        return load_node(region, velo_node_from((uint32_t)argument));
    make_room(region);
    return 0;
}

#endif
