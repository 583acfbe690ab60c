/* sha256.c - SHA-256 by the algorithm's own steps (FIPS 180-4, 6.2), and by the processor where it has them.
 *
 * Outputs are hashed while they are copied, so the speed counts: 1 GB/s with the instructions of x86. */
#include "sha256.h"

#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__) && !defined(VELO_SHA256_BY_STEPS) /* tests want the other way, too */
#define VELO_SHA256_PROCESSOR
#endif

#if defined(VELO_SHA256_PROCESSOR)
#include <cpuid.h>
#include <immintrin.h>
#endif

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t value, int bits)
{
    return value >> bits | value << (32 - bits);
}

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void blocks_by_steps(uint32_t state[8], const uint8_t *bytes, size_t count)
{
    for (; count > 0; count--, bytes += 64) {
        uint32_t w[64], v[8];
        for (int i = 0; i < 16; i++)
            w[i] = big_endian(bytes + 4 * i);
        for (int i = 16; i < 64; i++) {
            const uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
                   (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
        }
        memcpy(v, state, sizeof v);
        for (int i = 0; i < 64; i++) {
            const uint32_t e = v[4], a = v[0];
            const uint32_t one = v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
                                 ((e & v[5]) ^ (~e & v[6])) + constants[i] + w[i];
            const uint32_t two = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
                                 ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
            memmove(v + 1, v, 7 * sizeof *v);
            v[4] += one;
            v[0] = one + two;
        }
        for (int i = 0; i < 8; i++)
            state[i] += v[i];
    }
}

#if defined(VELO_SHA256_PROCESSOR)
/* Two rounds an instruction, on the state in the order that the processor wants (Intel SDM, SHA256RNDS2). */
__attribute__((target("sha,sse4.1"))) static void
blocks_by_processor(uint32_t state[8], const uint8_t *bytes, size_t count)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
    const __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0);
    for (; count > 0; count--, bytes += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(bytes + 16 * i)), swap);
#pragma GCC unroll 16 /* w is in registers only then: 1.5 times as fast */
        for (int i = 0; i < 16; i++) {
            __m128i words = w[i & 3];
            if (i >= 4) {
                const __m128i between = _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4);
                words = _mm_add_epi32(_mm_sha256msg1_epu32(words, w[(i + 1) & 3]), between);
                words = w[i & 3] = _mm_sha256msg2_epu32(words, w[(i + 3) & 3]);
            }
            const __m128i sum =
                _mm_add_epi32(words, _mm_loadu_si128((const __m128i *)(constants + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

static int has_instructions(void)
{
    static _Atomic int answer; /* 1: no, 2: yes; each thread that asks finds the same */
    int known = atomic_load_explicit(&answer, memory_order_relaxed);
    if (known == 0) {
        unsigned a, b, c, d, e = 0;
        const int leaf = __get_cpuid_count(7, 0, &a, &e, &c, &d) && (e >> 29 & 1) != 0;
        known = leaf && __get_cpuid(1, &a, &b, &c, &d) && (c >> 19 & 1) != 0 ? 2 : 1;
        atomic_store_explicit(&answer, known, memory_order_relaxed);
    }
    return known == 2;
}
#endif

static void blocks(uint32_t state[8], const uint8_t *bytes, size_t count)
{
#if defined(VELO_SHA256_PROCESSOR)
    if (has_instructions()) {
        blocks_by_processor(state, bytes, count);
        return;
    }
#endif
    blocks_by_steps(state, bytes, count);
}

void velo_sha256_begin(struct velo_sha256 *hash)
{
    static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(hash->state, first, sizeof first);
    hash->length = 0;
}

void velo_sha256_add(struct velo_sha256 *hash, const void *bytes, size_t count)
{
    const uint8_t *from = bytes;
    const size_t held = hash->length % 64;
    hash->length += count;
    if (held + count < 64) {
        memcpy(hash->block + held, from, count);
        return;
    }
    if (held > 0) {
        memcpy(hash->block + held, from, 64 - held);
        blocks(hash->state, hash->block, 1);
        from += 64 - held;
        count -= 64 - held;
    }
    blocks(hash->state, from, count / 64);
    memcpy(hash->block, from + count / 64 * 64, count % 64);
}

void velo_sha256_end(struct velo_sha256 *hash, uint8_t digest[VELO_SHA256_BYTES])
{
    const uint64_t bits = hash->length * 8;
    const size_t held = hash->length % 64;
    uint8_t end[128] = {0x80};
    const size_t padding = (held < 56 ? 56 : 120) - held;
    for (int i = 0; i < 8; i++)
        end[padding + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    velo_sha256_add(hash, end, padding + 8);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 4; j++)
            digest[4 * i + j] = (uint8_t)(hash->state[i] >> (24 - 8 * j));
}
