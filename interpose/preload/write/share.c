/* share.c - a file that is about to be shared or handed on goes to its real path first, unless there is room
 * for it to grow unseen (velo_has_grant).
 *
 * Once two processes have a descriptor the file cannot be moved any more, since no process can change another
 * one's descriptors; nor can it once it is mapped. And the next program may be static, or write through libc's
 * own streams. So this is decided before: fork, vfork, clone, spawn, exec, mmap.
 * With room to spare, which is the rule, it costs some 50 ns a fork. */
#include <fcntl.h>
#include <pthread.h>

#include "share.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"
#include "gate.h"
#include "relocate.h"

static bool is_cramped(void)
{
    const struct velo_region *region = velo_here();
    return region != NULL && !velo_vfork_child && !velo_has_grant(region);
}

static void share(struct velo_region *region, int fd)
{
    struct velo_snapshot snapshot;
    const velo_node_id node = velo_node_of_fd(region, fd);
    if (!velo_is_node(node))
        velo_write_credit_set(fd, 0);
    else if (velo_snapshot_take(region, node, &snapshot) == 0 && snapshot.state == VELO_BACKED &&
             !velo_is_stuck(node) && velo_relocate_soon(fd, node) != 0)
        velo_set_stuck(node);
}

/* A child may duplicate what exec would close; without a child, that is closed. */
static void share_all(bool closes)
{
    const int saved = errno,
              top = atomic_load_explicit(&velo_write_credits_top, memory_order_relaxed);
    if (top == 0 || !is_cramped())
        return;
    velo_relocate_many();
    for (int fd = 0; fd < top; fd++)
        if (velo_write_credit(fd) != 0 &&
            !(closes && (velo_sys3(SYS_fcntl, fd, F_GETFD, 0) & FD_CLOEXEC) != 0))
            share(velo_here(), fd);
    errno = saved;
}

void velo_before_child(void)
{
    share_all(false);
}

void velo_before_exec(void)
{
    share_all(true);
}

void velo_before_sharing(int fd)
{
    if (velo_write_credit(fd) != 0 && is_cramped())
        share(velo_here(), fd);
}

__attribute__((constructor(105))) static void note_forks(void)
{
    if (velo_here() != NULL)
        pthread_atfork(velo_before_child, NULL, velo_gate_forked);
}
