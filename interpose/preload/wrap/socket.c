/* socket.c - bind, listen, accept and connect; messages that name their addressee.
 *
 * Sockets stand on disk, so the calls are the kernel's; what else a path meets may be in memory only,
 * where the kernel would answer "no such file" or take the name for free. And the peer may be a process
 * outside that looks into the tree (peers.c). */
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "preload/path/claim.h"
#include "preload/write/credit.h"
#include "preload/program/peers.h"
#include "preload/base/raw.h"
#include "preload/replay/unit.h"
#include "preload/write/relocate.h"
#include "preload/write/share.h"
#include "preload/program/asked.h"

/* Of an AF_UNIX address that names a file: its path, or false. */
static bool path_of_address(const struct sockaddr *any, socklen_t length,
                            char path[sizeof(struct sockaddr_un) + 1])
{
    const size_t head = offsetof(struct sockaddr_un, sun_path);
    if (length <= head || length - head > sizeof(struct sockaddr_un) ||
        velo_cannot_read(any, length) || any->sa_family != AF_UNIX)
        return false;
    memcpy(path, (const char *)any + head, length - head);
    path[length - head] = 0;
    return path[0] != 0;
}

/* A socket of another kind tells of the machine's networks by ioctl, and a netlink socket needs no address. */
EXPORT int socket(int family, int type, int protocol)
{
    if (family != AF_UNIX)
        velo_taint(VELO_TAINT_SOCKET);
    return NEXT(socket)(family, type, protocol);
}

/* The name is made on disk; then the namespace looks again. */
EXPORT int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    velo_taint(VELO_TAINT_SOCKET);
    const struct sockaddr *any = address.__sockaddr__;
    char path[sizeof(struct sockaddr_un) + 1];
    struct velo_place place;
    int claimed = VELO_NOT_OURS;
    if (path_of_address(any, length, path))
        claimed = velo_claim(AT_FDCWD, path, VELO_WALK_NOFOLLOW | VELO_WALK_LAST, &place);
    struct stat stat;
    if (claimed == VELO_OURS &&
        place.at.type == VELO_REGULAR && /* the kernel is to see that, too */
        (velo_writeback(velo_here(), place.at.node, 0) < 0 ||
         raw_statat(AT_FDCWD, place.text.path, &stat, AT_SYMLINK_NOFOLLOW) != 0))
        return (int)velo_answer(-EADDRINUSE);
    const long rc = velo_sys3(SYS_bind, fd, velo_word(any), length);
    if (rc == 0 && claimed == VELO_OURS)
        velo_revalidate(velo_here(), &place);
    if (rc == 0 && !velo_is_nowhere(any))
        velo_wait_at(fd, any, length);
    return (int)velo_answer(rc == -ENOENT && claimed < 0 ? claimed : rc);
}

EXPORT int listen(int fd, int backlog)
{
    velo_taint(VELO_TAINT_SOCKET);
    const long rc = velo_sys2(SYS_listen, fd, backlog);
    if (rc == 0) {
        velo_wait_at(fd, NULL, 0);
        velo_asked_at(fd);
    }
    return (int)velo_answer(rc);
}

/* Sockets are on disk; what is in the way to one may be in memory only. */
static int refused(const struct sockaddr *any, socklen_t length, int saved)
{
    char path[sizeof(struct sockaddr_un) + 1];
    struct velo_place place;
    if ((errno != ENOENT && errno != ECONNREFUSED && errno != EACCES) ||
        !path_of_address(any, length, path))
        return -1;
    const int claimed = velo_claim(AT_FDCWD, path, 0, &place);
    if (claimed == VELO_OURS && place.at.type == VELO_REGULAR) {
        const int access = velo_access(velo_here(), &place, W_OK, AT_EACCESS);
        errno = saved;
        return (int)velo_answer(access != 0 ? access : -ECONNREFUSED);
    }
    return claimed < 0 ? (int)velo_answer(claimed) : -1;
}

EXPORT int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    velo_taint(VELO_TAINT_SOCKET);
    const struct sockaddr *any = address.__sockaddr__;
    const int saved = errno;
    struct velo_meeting meeting = {.by_message = false};
    velo_meet(fd, any, length, &meeting);
    const int rc = NEXT(connect)(fd, address, length);
    const bool met = rc == 0 || errno == EINPROGRESS || errno == EINTR;
    velo_met(fd, &meeting, met);
    if (met && meeting.how == VELO_MEETS_NOBODY)
        velo_met_own_address(fd, any, length);
    return rc == 0 ? 0 : refused(any, length, saved);
}
ALIAS(__connect, connect);

/* ---- clients --------------------------------------------------------------------------------- */

EXPORT int accept(int fd, __SOCKADDR_ARG address, socklen_t *length)
{
    velo_taint(VELO_TAINT_SOCKET);
    const int got = NEXT(accept)(fd, address, length);
    if (got >= 0)
        velo_accepted(fd, got);
    return got;
}

EXPORT int accept4(int fd, __SOCKADDR_ARG address, socklen_t *length, int flags)
{
    velo_taint(VELO_TAINT_SOCKET);
    const int got = NEXT(accept4)(fd, address, length, flags);
    if (got >= 0)
        velo_accepted(fd, got);
    return got;
}

/* ---- messages -------------------------------------------------------------------------------- */

EXPORT ssize_t sendto(int fd, const void *bytes, size_t count, int flags,
                      __CONST_SOCKADDR_ARG address, socklen_t length)
{
    velo_taint(VELO_TAINT_SOCKET);
    struct velo_meeting meeting = {.by_message = true};
    if (__builtin_expect(velo_as_given(address.__sockaddr__) == NULL, 1))
        return NEXT(sendto)(fd, bytes, count, flags, address, length);
    velo_meet(fd, address.__sockaddr__, length, &meeting);
    const ssize_t done = NEXT(sendto)(fd, bytes, count, flags, address, length);
    velo_met(fd, &meeting, done >= 0 || errno == EINPROGRESS);
    return done;
}

static void hand_to_outside(struct velo_region *region, int fd)
{
    struct velo_snapshot snapshot;
    const velo_node_id node = velo_node_of_fd(region, fd);
    if (!velo_is_node(node) || velo_snapshot_take(region, node, &snapshot) != 0 ||
        snapshot.state != VELO_BACKED)
        return;
    velo_escape(region, VELO_ESCAPE_PEER);
    if (velo_relocate_soon(fd, node) != 0)
        velo_writeback(region, node, 0);
}

/* Descriptors that are handed over. A process outside is to get the disk's file, and what it writes is to be
 * there. Where other processes have the file open in memory, it gets that one, which is put when they are done. */
static void hand_over(int fd, const struct msghdr *message)
{
    struct velo_region *region = velo_here();
    if (region == NULL || message->msg_controllen == 0 ||
        velo_cannot_read(message->msg_control, message->msg_controllen))
        return;
    const int saved = errno;
    const bool outside = velo_talks_to_outside(fd);
    const char *end = (const char *)message->msg_control + message->msg_controllen;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL;
         head = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t left = (size_t)(end - (const char *)head); /* the kernel refuses more */
        const size_t size = head->cmsg_len < left ? head->cmsg_len : left;
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= size; at += sizeof(int)) {
            int given;
            memcpy(&given, (const char *)head + at, sizeof given);
            if (outside)
                hand_to_outside(region, given);
            else
                velo_before_sharing(given);
        }
    }
    errno = saved;
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    velo_taint(VELO_TAINT_SOCKET);
    struct velo_meeting meeting = {.by_message = true};
    if (velo_cannot_read(message, sizeof *message))
        return NEXT(sendmsg)(fd, message, flags);
    hand_over(fd, message);
    if (message->msg_name == NULL)
        return NEXT(sendmsg)(fd, message, flags);
    velo_meet(fd, message->msg_name, message->msg_namelen, &meeting);
    const ssize_t done = NEXT(sendmsg)(fd, message, flags);
    velo_met(fd, &meeting, done >= 0 || errno == EINPROGRESS);
    return done;
}

/* The peer of the first message: a program that names several peers in one call talks to each of them again. */
EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    velo_taint(VELO_TAINT_SOCKET);
    struct velo_meeting meeting = {.by_message = true};
    for (unsigned i = 0; i < count && !velo_cannot_read(&messages[i], sizeof *messages); i++)
        hand_over(fd, &messages[i].msg_hdr);
    if (count == 0 || velo_cannot_read(messages, sizeof *messages) ||
        messages->msg_hdr.msg_name == NULL)
        return NEXT(sendmmsg)(fd, messages, count, flags);
    velo_meet(fd, messages->msg_hdr.msg_name, messages->msg_hdr.msg_namelen, &meeting);
    const int done = NEXT(sendmmsg)(fd, messages, count, flags);
    velo_met(fd, &meeting, done >= 0);
    return done;
}
