/* filter.c - a process that gives up system calls which we need leaves the namespace.
 *
 * A seccomp filter cannot tell our calls from the program's: it would answer them with errors, or
 * kill the program for a call that it never made. So a filter is read before it is installed. When
 * it lets pass all calls that we may make, nothing changes; else the process is treated as an
 * opaque program from then on, as tracers are. Filters that came with exec are not seen.
 *
 * In    a filter as the program wrote it
 * Out   the process may have left
 * Never a filter that is judged too kindly: a call that depends on an argument counts as denied. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "sud.h"
#include "filter.h"
#include "preload/program/opaque.h"
#include "preload/base/raw.h"

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#else
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif
#define DEPENDS SECCOMP_RET_KILL_PROCESS

/* The calls that the core and the wrappers may make for a hosted path that the program named. */
static const uint16_t needed[] = {
#define NEEDS(name) SYS_##name,
#include "preload/calls.def"
};

/* ---- what a filter says ---------------------------------------------------------------------- */

struct machine {
    uint32_t accumulator;
    uint32_t index;
    uint32_t memory[BPF_MEMWORDS];
};

static uint32_t operate(uint16_t code, uint32_t a, uint32_t b)
{
    switch (BPF_OP(code)) {
    case BPF_ADD:
        return a + b;
    case BPF_SUB:
        return a - b;
    case BPF_MUL:
        return a * b;
    case BPF_DIV:
        return a / b;
    case BPF_AND:
        return a & b;
    case BPF_OR:
        return a | b;
    case BPF_XOR:
        return a ^ b;
    case BPF_LSH:
        return a << (b & 31); /* as the kernel has it */
    case BPF_RSH:
        return a >> (b & 31);
    default:
        return 0u - a; /* BPF_NEG */
    }
}

static bool jumps(uint16_t code, uint32_t a, uint32_t b)
{
    switch (BPF_OP(code)) {
    case BPF_JEQ:
        return a == b;
    case BPF_JGT:
        return a > b;
    case BPF_JGE:
        return a >= b;
    default:
        return (a & b) != 0; /* BPF_JSET */
    }
}

static void store(struct machine *machine, const struct sock_filter *line)
{
    if (line->k < BPF_MEMWORDS)
        machine->memory[line->k] =
            BPF_CLASS(line->code) == BPF_ST ? machine->accumulator : machine->index;
}

/* False: the value depends on an argument or an address. */
static bool load(struct machine *machine, const struct sock_filter *line, uint32_t number)
{
    uint32_t value = line->k; /* BPF_IMM */
    if (BPF_MODE(line->code) == BPF_LEN)
        value = sizeof(struct seccomp_data);
    else if (BPF_MODE(line->code) == BPF_MEM)
        value = line->k < BPF_MEMWORDS ? machine->memory[line->k] : 0;
    else if (BPF_MODE(line->code) == BPF_ABS && line->k == offsetof(struct seccomp_data, nr))
        value = number;
    else if (BPF_MODE(line->code) == BPF_ABS && line->k == offsetof(struct seccomp_data, arch))
        value = OUR_ARCH;
    else if (BPF_MODE(line->code) != BPF_IMM)
        return false;
    if (BPF_CLASS(line->code) == BPF_LD)
        machine->accumulator = value;
    else
        machine->index = value;
    return true;
}

/* The next line after a jump, counted from the one after it. */
static uint32_t distance(const struct machine *machine, const struct sock_filter *line)
{
    const uint32_t with = BPF_SRC(line->code) == BPF_X ? machine->index : line->k;
    if (BPF_OP(line->code) == BPF_JA)
        return line->k;
    return jumps(line->code, machine->accumulator, with) ? line->jt : line->jf;
}

/* The filter's answer to a call. Jumps lead forward only, so it ends. */
static uint32_t answer(const struct sock_fprog *filter, uint32_t number)
{
    struct machine machine = {0, 0, {0}};
    for (uint64_t at = 0; at < filter->len; at++) {
        const struct sock_filter *line = &filter->filter[at];
        const uint32_t with = BPF_SRC(line->code) == BPF_X ? machine.index : line->k;
        switch (BPF_CLASS(line->code)) {
        case BPF_LD:
        case BPF_LDX:
            if (!load(&machine, line, number))
                return DEPENDS;
            break;
        case BPF_ST:
        case BPF_STX:
            store(&machine, line);
            break;
        case BPF_ALU:
            if (BPF_OP(line->code) == BPF_DIV && with == 0)
                return SECCOMP_RET_KILL_THREAD;
            machine.accumulator = operate(line->code, machine.accumulator, with);
            break;
        case BPF_JMP:
            at += distance(&machine, line);
            break;
        case BPF_MISC:
            if (BPF_MISCOP(line->code) == BPF_TAX)
                machine.index = machine.accumulator;
            else
                machine.accumulator = machine.index;
            break;
        default:
            return BPF_RVAL(line->code) == BPF_A ? machine.accumulator : line->k;
        }
    }
    return DEPENDS;
}

static bool passes(const struct sock_fprog *filter, uint32_t number)
{
    const uint32_t action = answer(filter, number) & SECCOMP_RET_ACTION_FULL;
    return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
}

static bool passes_all(const struct sock_fprog *filter)
{
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!passes(filter, needed[i]))
            return false;
    return true;
}

/* ---- before it is installed ------------------------------------------------------------------ */

static void probe_filter(const struct sock_fprog *filter)
{
    struct velo_region *region = velo_here();
    if (region == NULL || velo_vfork_child)
        return;
    const bool stays = filter != NULL && filter->filter != NULL && passes_all(filter);
    if (!velo_is_sud()) {
        if (!stays)
            velo_leave_namespace(region);
    } else if (!stays) {
        velo_sud_end(region);
    } else if (!passes(filter, SYS_prctl)) {
        velo_sud_filtered();
    }
}

void velo_before_prctl_seccomp(unsigned long mode, unsigned long filter)
{
    probe_filter(mode == SECCOMP_MODE_FILTER ? (const void *)(uintptr_t)filter : NULL);
}

void velo_before_seccomp(unsigned long operation, unsigned long filter)
{
    if (operation == SECCOMP_SET_MODE_STRICT)
        probe_filter(NULL);
    else if (operation == SECCOMP_SET_MODE_FILTER)
        probe_filter((const void *)(uintptr_t)filter);
}
