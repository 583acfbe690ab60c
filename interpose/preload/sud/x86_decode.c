/* x86_decode.c - how long an x86-64 instruction is: enough to tell a system call from two bytes of
 * another instruction that look like one.
 *
 * Tables are by opcode: which have a ModRM byte, which an immediate. Operands themselves are never
 * looked at. Unknown prefixes of newer extensions give 0, and the reader goes on elsewhere. */
#include "syscall_scan.h"
#include "x86_decode.h"

#if defined(__x86_64__)

enum { NOTHING = 0, MODRM = 1, IMM8 = 2, IMM16 = 4, IMMZ = 8, SPECIAL = 16, INVALID = 32 };

/* Two opcodes of one row of eight may differ; rows are written as the manual's tables are. */
#define ARITHMETIC MODRM, MODRM, MODRM, MODRM, IMM8, IMMZ, INVALID, INVALID
#define ROW(kind) kind, kind, kind, kind, kind, kind, kind, kind

/* clang-format off */
static const unsigned char one_byte[256] = {
    /* 00 */ ARITHMETIC, ARITHMETIC, ARITHMETIC, ARITHMETIC,
    /* 20 */ ARITHMETIC, ARITHMETIC, ARITHMETIC, ARITHMETIC,
    /* 40 */ ROW(INVALID), ROW(INVALID), ROW(NOTHING), ROW(NOTHING), /* 40-4f are prefixes */
    /* 60 */ INVALID, INVALID, INVALID, MODRM, INVALID, INVALID, INVALID, INVALID,
    /* 68 */ IMMZ, MODRM | IMMZ, IMM8, MODRM | IMM8, NOTHING, NOTHING, NOTHING, NOTHING,
    /* 70 */ ROW(IMM8), ROW(IMM8),
    /* 80 */ MODRM | IMM8, MODRM | IMMZ, INVALID, MODRM | IMM8, MODRM, MODRM, MODRM, MODRM,
    /* 88 */ ROW(MODRM),
    /* 90 */ ROW(NOTHING), NOTHING, NOTHING, INVALID, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING,
    /* a0 */ SPECIAL, SPECIAL, SPECIAL, SPECIAL, NOTHING, NOTHING, NOTHING, NOTHING,
    /* a8 */ IMM8, IMMZ, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING,
    /* b0 */ ROW(IMM8), ROW(SPECIAL),
    /* c0 */ MODRM | IMM8, MODRM | IMM8, IMM16, NOTHING, INVALID, INVALID, MODRM | IMM8,
    /* c7 */ MODRM | IMMZ,
    /* c8 */ IMM16 | IMM8, NOTHING, IMM16, NOTHING, NOTHING, IMM8, INVALID, NOTHING,
    /* d0 */ MODRM, MODRM, MODRM, MODRM, INVALID, INVALID, INVALID, NOTHING, ROW(MODRM),
    /* e0 */ ROW(IMM8), IMMZ, IMMZ, INVALID, IMM8, NOTHING, NOTHING, NOTHING, NOTHING,
    /* f0 */ INVALID, NOTHING, INVALID, INVALID, NOTHING, NOTHING, SPECIAL, SPECIAL,
    /* f8 */ NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, MODRM, MODRM};

static unsigned after_0f(unsigned char opcode)
{
    switch (opcode) {
    case 0x05 ... 0x09: case 0x0b: case 0x0e: case 0x30 ... 0x37: case 0x77:
    case 0xa0 ... 0xa2: case 0xa8 ... 0xaa: case 0xc8 ... 0xcf:
        return NOTHING;
    case 0x80 ... 0x8f:
        return IMMZ;
    case 0x0f: case 0x70 ... 0x73: case 0xa4: case 0xac: case 0xba: case 0xc2: case 0xc4 ... 0xc6:
        return MODRM | IMM8;
    case 0x04: case 0x0a: case 0x0c: case 0x24 ... 0x27: case 0x39: case 0x3b ... 0x3f:
        return INVALID;
    default:
        return MODRM;
    }
}
/* clang-format on */

/* Bytes of ModRM, SIB and displacement. */
static size_t modrm_length(const unsigned char *modrm)
{
    const unsigned mode = modrm[0] >> 6, memory = modrm[0] & 7;
    if (mode == 3)
        return 1;
    const size_t sib = memory == 4;
    const bool based = mode != 0 || (sib ? (modrm[1] & 7) : memory) != 5;
    return 1 + sib + (mode == 1 ? 1u : mode == 2 || !based ? 4u : 0u);
}

struct prefixes {
    bool operand16, address32, wide;
};

static const unsigned char *skip_prefixes(const unsigned char *code, struct prefixes *found)
{
    for (int i = 0; i < 14; i++, code++) {
        switch (*code) {
        case 0x66:
            found->operand16 = true;
            break;
        case 0x67:
            found->address32 = true;
            break;
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
        case 0xf0:
        case 0xf2:
        case 0xf3:
            break;
        default:
            if ((*code & 0xf0) != 0x40)
                return code;
            found->wide = (*code & 8) != 0;
            return code + 1;
        }
    }
    return code;
}

/* What follows an opcode of the map that a VEX or EVEX prefix names. */
static unsigned of_map(unsigned map, unsigned char opcode)
{
    switch (map) {
    case 1:
        return after_0f(opcode);
    case 2:
    case 5:
    case 6:
        return MODRM;
    case 3:
        return MODRM | IMM8;
    default:
        return INVALID;
    }
}

/* The kind of the instruction at *at, which then stands behind the opcode. */
static unsigned read_opcode(const unsigned char **at)
{
    const unsigned char *code = *at;
    unsigned kind;
    switch (code[0]) {
    case 0x0f:
        if (code[1] == 0x38 || code[1] == 0x3a) {
            kind = code[1] == 0x38 ? MODRM : MODRM | IMM8;
            *at = code + 3;
            return kind;
        }
        kind = after_0f(code[1]);
        *at = code + 2;
        return kind;
    case 0xc5:
        kind = of_map(1, code[2]);
        *at = code + 3;
        return kind;
    case 0xc4:
        kind = of_map(code[1] & 31, code[3]);
        *at = code + 4;
        return kind;
    case 0x62:
        kind = of_map(code[1] & 7, code[4]);
        *at = code + 5;
        return kind;
    default:
        kind = one_byte[code[0]];
        *at = code + 1;
        return kind;
    }
}

/* Opcodes whose immediate depends on prefixes or on ModRM. */
static unsigned decode_special(unsigned char opcode, unsigned char next, size_t *immediate,
                               const struct prefixes *prefix)
{
    if (opcode >= 0xf6)
        return MODRM | ((next & 0x38) > 8 ? 0u : opcode == 0xf6 ? IMM8 : IMMZ);
    if (opcode < 0xb0)
        *immediate = prefix->address32 ? 4 : 8;
    else if (prefix->wide)
        *immediate = 8;
    else
        return IMMZ;
    return NOTHING;
}

static size_t length_of(const unsigned char *code)
{
    struct prefixes prefix = {false, false, false};
    const unsigned char *at = skip_prefixes(code, &prefix);
    const unsigned char opcode = *at;
    size_t immediate = 0;
    unsigned kind = read_opcode(&at);
    if (kind == INVALID)
        return 0;
    if (kind == SPECIAL)
        kind = decode_special(opcode, *at, &immediate, &prefix);
    if ((kind & MODRM) != 0)
        at += modrm_length(at);
    immediate += (kind & IMM8) != 0 ? 1u : 0u;
    immediate += (kind & IMM16) != 0 ? 2u : 0u;
    immediate += (kind & IMMZ) != 0 ? (prefix.operand16 && !prefix.wide ? 2u : 4u) : 0u;
    return (size_t)(at - code) + immediate;
}

/* So many bytes are read of code without its end in sight: 14 prefixes, the opcode, ModRM and SIB. */
#define DECODE_BYTES 24

size_t velo_x86_length(const unsigned char *code, const unsigned char *end)
{
    if (end - code >= DECODE_BYTES)
        return length_of(code);
    unsigned char last[DECODE_BYTES] = {0};
    if (end <= code)
        return 0;
    memcpy(last, code, (size_t)(end - code));
    const size_t length = length_of(last);
    return length <= (size_t)(end - code) ? length : 0;
}

#else

size_t velo_x86_length(const unsigned char *code, const unsigned char *end)
{
    return end - code < 4 ? 0 : 4;
}

#endif
