/* names.c - hosts and networks: libc asks other machines for them, by sockets of its own that velo does not see. */
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "preload/replay/unit.h"
#include "inside.h"

#define RESOLVING(type, name, parameters, ...)                                                     \
    EXPORT type name parameters                                                                    \
    {                                                                                              \
        velo_taint(VELO_TAINT_SOCKET);                                                             \
        velo_libc_reads(velo_variable("HOSTALIASES"));                                             \
        return NEXT(name)(__VA_ARGS__);                                                            \
    }

/* Numbers are only read, and no name means this machine. */
EXPORT int getaddrinfo(const char *restrict node, const char *restrict service,
                       const struct addrinfo *restrict wanted, struct addrinfo **restrict out)
{
    const bool is_number = wanted != NULL && (wanted->ai_flags & AI_NUMERICHOST) != 0;
    if (node != NULL && !is_number)
        velo_taint(VELO_TAINT_SOCKET);
    return NEXT(getaddrinfo)(node, service, wanted, out);
}

EXPORT int getnameinfo(const struct sockaddr *restrict address, socklen_t length,
                       char *restrict host, socklen_t host_size, char *restrict service,
                       socklen_t service_size, int flags)
{
    if ((flags & NI_NUMERICHOST) == 0 && host_size != 0)
        velo_taint(VELO_TAINT_SOCKET);
    return NEXT(getnameinfo)(address, length, host, host_size, service, service_size, flags);
}

RESOLVING(struct hostent *, gethostbyname, (const char *name), name)
RESOLVING(struct hostent *, gethostbyname2, (const char *name, int family), name, family)
RESOLVING(struct hostent *, gethostbyaddr, (const void *address, socklen_t length, int family),
          address, length, family)
RESOLVING(int, gethostbyname_r,
          (const char *restrict name, struct hostent *restrict host, char *restrict buffer,
           size_t size, struct hostent **restrict out, int *restrict error),
          name, host, buffer, size, out, error)
RESOLVING(int, gethostbyname2_r,
          (const char *restrict name, int family, struct hostent *restrict host,
           char *restrict buffer, size_t size, struct hostent **restrict out, int *restrict error),
          name, family, host, buffer, size, out, error)
RESOLVING(int, gethostbyaddr_r,
          (const void *restrict address, socklen_t length, int family,
           struct hostent *restrict host, char *restrict buffer, size_t size,
           struct hostent **restrict out, int *restrict error),
          address, length, family, host, buffer, size, out, error)
RESOLVING(int, getifaddrs, (struct ifaddrs * *out), out)
RESOLVING(struct if_nameindex *, if_nameindex, (void))
