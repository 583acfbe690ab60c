/* sha256_driver.c - the digest of what each line says in hexadecimal, added in pieces of argv[1] bytes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/sha256.h"
#include "kernel/text.h"

int main(int argc, char *argv[])
{
    static char line[1 << 20];
    static uint8_t bytes[1 << 19];
    const size_t piece = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    while (fgets(line, sizeof line, stdin) != NULL) {
        const size_t count = strcspn(line, "\n") / 2;
        for (size_t i = 0; i < count; i++) {
            unsigned value = 0;
            sscanf(line + 2 * i, "%2x", &value);
            bytes[i] = (uint8_t)value;
        }
        struct velo_sha256 hash;
        uint8_t digest[VELO_SHA256_BYTES];
        char text[VELO_HEX_MAX];
        velo_sha256_begin(&hash);
        for (size_t at = 0; at < count; at += piece)
            velo_sha256_add(&hash, bytes + at, count - at < piece ? count - at : piece);
        velo_sha256_end(&hash, digest);
        velo_write_hex(text, digest, sizeof digest);
        puts(text);
    }
    return 0;
}
