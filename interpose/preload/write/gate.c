/* gate.c - while a file is led to the disk, the other threads of this process wait with what they write.
 *
 * A thread that writes says when it begins and ends (credit.h). A thread that closes the gate waits until
 * no writer is inside. */
#include "gate.h"

#include <signal.h>

#include "kernel/os.h"
#include "preload/base/raw.h"

#define GATE_TRIES 4000
#define GATE_NS 50000l /* so a writer has 0.2 s to come to its end */
#define GLANCES 50
#define PAUSE_NS 10000000l

_Atomic uint32_t velo_gate_inside;
_Atomic uint32_t velo_gate_closed;

void velo_gate_forked(void)
{
    atomic_store(&velo_gate_inside, 0);
    atomic_store(&velo_gate_closed, 0);
}

void velo_gate_wait(void)
{
    while (atomic_load(&velo_gate_closed) != 0) {
        atomic_fetch_sub(&velo_gate_inside, 1);
        velo_os_pause(GATE_NS);
        atomic_fetch_add(&velo_gate_inside, 1);
    }
}

bool velo_gate_close(uint64_t *signals)
{
    const uint64_t all = ~0ull;
    velo_sys4(SYS_rt_sigprocmask, SIG_SETMASK, velo_word(&all), velo_word(signals), sizeof all);
    for (int tries = 0; tries < GATE_TRIES; tries++) {
        uint32_t nobody = 0;
        if (atomic_compare_exchange_strong(&velo_gate_closed, &nobody, 1))
            break;
        velo_os_pause(tries < GLANCES ? GATE_NS : PAUSE_NS);
        if (tries + 1 == GATE_TRIES)
            return false;
    }
    for (int tries = 0; atomic_load(&velo_gate_inside) != 0; tries++) {
        if (tries == GATE_TRIES) {
            atomic_store(&velo_gate_closed, 0);
            return false;
        }
        velo_os_pause(GATE_NS);
    }
    return true;
}

void velo_gate_open(bool held, const uint64_t *signals)
{
    if (held)
        atomic_store(&velo_gate_closed, 0);
    velo_sys4(SYS_rt_sigprocmask, SIG_SETMASK, velo_word(signals), 0, sizeof *signals);
}
