/* wrap_socket.c - bind and connect: names of AF_UNIX sockets.
 *
 * Sockets stand on disk, so the calls are the kernel's; what else a path meets may be in memory only,
 * where the kernel would answer "no such file" or take the name for free. */
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "claim.h"
#include "raw.h"

/* Of an AF_UNIX address that names a file: its path, or false. */
static bool path_of_address(const struct sockaddr *any, socklen_t length,
                            char path[sizeof(struct sockaddr_un) + 1])
{
    const size_t head = offsetof(struct sockaddr_un, sun_path);
    if (velo_is_nowhere(any) || length <= head || length - head > sizeof(struct sockaddr_un) ||
        any->sa_family != AF_UNIX)
        return false;
    memcpy(path, (const char *)any + head, length - head);
    path[length - head] = 0;
    return path[0] != 0;
}

/* The name is made on disk; then the namespace looks again. */
EXPORT int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    const struct sockaddr *any = address.__sockaddr__;
    char path[sizeof(struct sockaddr_un) + 1];
    struct velo_place place;
    int claimed = VELO_NOT_OURS;
    if (path_of_address(any, length, path))
        claimed = velo_claim(AT_FDCWD, path, VELO_WALK_NOFOLLOW | VELO_WALK_LAST, &place);
    struct stat stat;
    if (claimed == VELO_OURS && place.type == VELO_REGULAR && /* the kernel is to see that, too */
        (velo_put(velo_here(), place.node, 0) < 0 ||
         raw_statat(AT_FDCWD, place.path, &stat, AT_SYMLINK_NOFOLLOW) != 0))
        return (int)velo_answer(-EADDRINUSE);
    const long rc = velo_sys3(SYS_bind, fd, velo_word(any), length);
    if (rc == 0 && claimed == VELO_OURS)
        velo_revalidate(velo_here(), &place);
    return (int)velo_answer(rc == -ENOENT && claimed < 0 ? claimed : rc);
}

/* Sockets are on disk; what is in the way to one may be in memory only. */
EXPORT int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    const int saved = errno;
    const int rc = NEXT(connect)(fd, address, length);
    char path[sizeof(struct sockaddr_un) + 1];
    struct velo_place place;
    if (rc == 0 || (errno != ENOENT && errno != ECONNREFUSED && errno != EACCES) ||
        !path_of_address(address.__sockaddr__, length, path))
        return rc;
    const int claimed = velo_claim(AT_FDCWD, path, 0, &place);
    if (claimed == VELO_OURS && place.type == VELO_REGULAR) {
        const int refused = velo_access(velo_here(), &place, W_OK, AT_EACCESS);
        errno = saved;
        return (int)velo_answer(refused != 0 ? refused : -ECONNREFUSED);
    }
    return claimed < 0 ? (int)velo_answer(claimed) : rc;
}
ALIAS(__connect, connect);
