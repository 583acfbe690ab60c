# needs: gcc
# locks that were taken in memory, because another process had the file open, and then have to go to the disk
cat > build/c.c <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
    int end[2], fd = open("build/data", O_RDWR | O_CREAT, 0644);
    char c;
    struct flock some = {.l_type = F_WRLCK, .l_start = 5, .l_len = 5}, ofd = {.l_type = F_RDLCK, .l_start = 50};
    write(fd, "text\n", 5);
    pipe(end);
    if (fork() == 0) {
        close(end[1]);
        read(end[0], &c, 1);
        _exit(0);
    }
    printf("%d %d %d\n", flock(fd, LOCK_EX), fcntl(fd, F_SETLK, &some), fcntl(fd, F_OFD_SETLK, &ofd));
    close(end[1]);
    close(end[0]);
    wait(NULL);
    rename("build/data", "data"); /* out of memory */
    fflush(stdout);
    if (fork() == 0) {
        int other = open("data", O_RDWR);
        struct flock see = {.l_type = F_WRLCK, .l_start = 0, .l_len = 20}, far = {.l_type = F_WRLCK, .l_start = 60};
        fcntl(other, F_GETLK, &see);
        fcntl(other, F_GETLK, &far);
        printf("flock %d; %d at %ld, %ld bytes; %d at %ld\n", flock(other, LOCK_SH | LOCK_NB), see.l_type, (long)see.l_start,
               (long)see.l_len, far.l_type, (long)far.l_start);
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    return 0;
}
C
gcc -o build/c build/c.c && build/c; cat data
