# natively: 0
# hosted: 139
cat > small.c <<'C'
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
static void *run(void *none) { open("build/a/../b", O_RDONLY); return none; }
int main(void)
{
    char *stack = mmap(0, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(stack, 65536 - 16384, PROT_NONE);
    pthread_attr_t how; pthread_t thread; pthread_attr_init(&how);
    pthread_attr_setstack(&how, stack + 65536 - 16384, 16384);
    if (pthread_create(&thread, &how, run, 0) != 0) return 9;
    return pthread_join(thread, 0);
}
C
gcc -pthread -o small small.c && mkdir build/a && echo > build/b
bash -c "ulimit -c 0; ./small; echo \$?" 2> /dev/null; rm -f small
