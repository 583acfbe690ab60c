/* hold_lock.c - as if a process that is stopped (argv[2]) had taken the lock of an arena's table (argv[1]) before.
 *
 * In    the process stands still, so that it does not find a lock that it never took
 * Out   the lock's word is its number; exit status 0
 * Never a lock taken from another owner: it is waited for */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "core/arena/layout.h"

int main(int count, char **words)
{
    struct timespec now;
    const int fd = count == 3 ? open(words[1], O_RDWR) : -1;
    struct velo_header *header =
        mmap(NULL, sizeof *header, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (header == MAP_FAILED)
        return 1;
    const uint32_t owner = (uint32_t)atol(words[2]);
    for (uint32_t free = 0; !atomic_compare_exchange_weak(&header->lock.word, &free, owner);)
        free = 0;
    clock_gettime(CLOCK_BOOTTIME, &now);
    atomic_store(&header->lock.since_ns,
                 (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    return 0;
}
