/* Locks of three kinds, between processes and within one: who is refused, by whom, until when; on
 * files just made, settled, and opened by every other spelling. */
#include <sys/file.h>

#include "say.h"

static int lock(int fd, int command, short type, off_t start, off_t length)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, command, &range);
}

static void who(int fd, int command, short type, pid_t expected)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET};
    if (fcntl(fd, command, &range) != 0)
        say("who", -1);
    else
        printf("held by %s: type %d, %ld+%ld\n",
               range.l_type == F_UNLCK   ? "nobody"
               : range.l_pid == expected ? "parent"
               : range.l_pid == -1       ? "an open file"
                                         : "somebody",
               range.l_type, (long)range.l_start, (long)range.l_len);
}

static void try_all(const char *name)
{
    const int fd = open(name, O_RDWR);
    SAY(flock(fd, LOCK_SH | LOCK_NB));
    SAY(flock(fd, LOCK_EX | LOCK_NB));
    SAY(lock(fd, F_SETLK, F_RDLCK, 0, 10));
    SAY(lock(fd, F_SETLK, F_WRLCK, 0, 10));
    SAY(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
    who(fd, F_GETLK, F_WRLCK, getppid());
    who(fd, F_OFD_GETLK, F_WRLCK, getppid());
    SAY(lockf(fd, F_TLOCK, 5));
    SAY(lockf(fd, F_TEST, 5));
    close(fd);
}

/* Only readers so far: their descriptors may be on another copy of the file than a writer's. */
static void readers_and_writers(const char *name)
{
    const int reader = open(name, O_RDONLY);
    SAY(flock(reader, LOCK_SH));
    SAY(lock(reader, F_SETLK, F_RDLCK, 0, 0));
    IN_CHILD("a writer meets readers", try_all(name));
    const int writer = open(name, O_RDWR);
    SAY(flock(writer, LOCK_EX | LOCK_NB));
    close(reader);
    SAY(flock(writer, LOCK_EX | LOCK_NB));
    close(writer);
}

int main(void)
{
    write_file("f", "0123456789abcdefghij");
    const int fd = open("f", O_RDWR);
    SAY(flock(fd, LOCK_EX));
    IN_CHILD("flock held", try_all("f"));
    SAY(flock(fd, LOCK_SH));
    IN_CHILD("flock shared", try_all("f"));
    SAY(flock(fd, LOCK_UN));
    IN_CHILD("flock gone", try_all("f"));

    SAY(lock(fd, F_SETLK, F_WRLCK, 5, 10));
    IN_CHILD("posix held", try_all("f"));
    link("f", "g");
    rename("f", "h");
    IN_CHILD("posix held, other name", try_all("g"));
    IN_CHILD("posix held, new name", try_all("h"));
    close(open("g", O_RDONLY)); /* closing any descriptor of the file drops a process's locks */
    IN_CHILD("posix dropped by close", try_all("h"));

    SAY(lock(fd, F_OFD_SETLK, F_RDLCK, 0, 0));
    IN_CHILD("open file's", try_all("h"));
    const int other = dup(fd);
    close(fd);
    IN_CHILD("open file's, twin holds on", try_all("h"));
    close(other);
    IN_CHILD("open file's, all closed", try_all("h"));

    const int own = open("h", O_RDWR);
    SAY(flock(own, LOCK_EX));
    IN_CHILD("inherited", {
        SAY(flock(own, LOCK_EX | LOCK_NB)); /* the same open file */
        SAY(flock(own, LOCK_UN));
    });
    IN_CHILD("unlocked by a child", try_all("h"));
    SAY(flock(own, LOCK_EX));
    fflush(stdout);
    const pid_t waiter = fork();
    if (waiter == 0) {
        const int mine = open("g", O_RDWR);
        flock(mine, LOCK_EX);
        write(mine, "after", 5);
        _exit(0);
    }
    usleep(20000);
    write(own, "first", 5);
    show_file("h");
    flock(own, LOCK_UN);
    waitpid(waiter, NULL, 0);
    show_file("h");
    close(own);
    readers_and_writers("h");
    return 0;
}
