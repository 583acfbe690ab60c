/* beside.c - a thread that a raw clone(2) makes, which libc does not know (sud.h).
 *
 * In    the registers of the thread that makes it, behind its `syscall`
 * Out   the same call, made by the code below; then both go on where they would have, the new one watched
 * Never a register that either can tell from what the kernel leaves: rcx and r11 are the kernel's
 *
 * The kernel watches threads one by one and does not watch a new one. So the new thread must ask before it runs
 * anything of the program's. Both ways back are on stacks: on the maker's below what it may use without moving
 * its pointer (128 bytes), on the new one at the very top. Thread-local storage is the maker's, and with it the
 * byte that the kernel looks at; a thread with storage of its own is not taken in here. */
#include "beside.h"

#include "sud.h"

#if defined(__x86_64__)

#include <stdint.h>

struct velo_passing velo_passing;

#define RED_ZONE_BYTES 128

void velo_clone_beside(void);
__asm__(".type velo_clone_beside, @function\n"
        "velo_clone_beside:\n"
        "    syscall\n"
        "    add $8, %rsi\n"
        "    test %rax, %rax\n"
        "    jz 1f\n"
        "    mov velo_selector@gottpoff(%rip), %rcx\n"
        "    movb $1, %fs:(%rcx)\n" /* VELO_HANDED_OVER */
        "    mov (%rsp), %rcx\n"
        "    lea 136(%rsp), %rsp\n" /* RED_ZONE_BYTES and the way back */
        "    jmp *%rcx\n"
        "1:  push %rdi\n    push %rsi\n    push %rdx\n    push %r10\n    push %r8\n"
        "    mov $157, %eax\n" /* prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, ...) */
        "    mov $59, %edi\n"
        "    mov $1, %esi\n"
        "    mov velo_passing(%rip), %rdx\n"
        "    mov 8+velo_passing(%rip), %r10\n"
        "    mov velo_selector@gottpoff(%rip), %r8\n"
        "    add %fs:0, %r8\n"
        "    syscall\n"
        "    movb $1, (%r8)\n"
        "    pop %r8\n    pop %r10\n    pop %rdx\n    pop %rsi\n    pop %rdi\n"
        "    pop %rcx\n"
        "    xor %eax, %eax\n"
        "    jmp *%rcx\n"
        ".size velo_clone_beside, . - velo_clone_beside\n");

void velo_beside(ucontext_t *context)
{
    greg_t *registers = context->uc_mcontext.gregs;
    const greg_t back = registers[REG_RIP];
    registers[REG_RSP] -= RED_ZONE_BYTES + (greg_t)sizeof back;
    registers[REG_RSI] -= (greg_t)sizeof back;
    *(greg_t *)registers[REG_RSP] = back;
    *(greg_t *)registers[REG_RSI] = back;
    registers[REG_RIP] = (greg_t)(uintptr_t)velo_clone_beside;
    velo_selector = VELO_PASSES;
}

#endif
