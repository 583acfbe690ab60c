/* sha256.h - SHA-256 (FIPS 180-4), by which the store names bytes. */
#ifndef VELO_KERNEL_SHA256_H
#define VELO_KERNEL_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define VELO_SHA256_BYTES 32

struct velo_sha256 {
    uint32_t state[8];
    uint64_t length; /* in bytes, until now */
    uint8_t block[64];
};

void velo_sha256_begin(struct velo_sha256 *hash);
void velo_sha256_add(struct velo_sha256 *hash, const void *bytes, size_t count);
void velo_sha256_end(struct velo_sha256 *hash, uint8_t digest[VELO_SHA256_BYTES]);

#endif
