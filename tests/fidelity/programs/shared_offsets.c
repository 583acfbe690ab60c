/* One open file, many holders: dup, fork and SCM_RIGHTS share offset and flags; parallel appenders
 * lose nothing; a descriptor works on after its name is gone or another's. */
#include <sys/socket.h>

#include "say.h"

static void show_offset(const char *when, int fd)
{
    printf("%s: at %ld, flags %x\n", when, (long)lseek(fd, 0, SEEK_CUR),
           fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
}

static int give(int channel, int fd)
{
    char room[CMSG_SPACE(sizeof fd)] = {0}, byte = 'x';
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    return (int)sendmsg(channel, &message, 0);
}

static int take(int channel)
{
    char room[CMSG_SPACE(sizeof(int))], byte;
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    int fd = -1;
    if (recvmsg(channel, &message, 0) == 1)
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

static void appenders(void)
{
    pid_t children[8];
    for (int i = 0; i < 8; i++)
        if ((children[i] = fork()) == 0) {
            const int fd = open("log", O_WRONLY | O_APPEND | O_CREAT, 0644);
            char line[32];
            for (int n = 0; n < 200; n++)
                if (write(fd, line, (size_t)sprintf(line, "%d %03d\n", i, n)) < 0)
                    _exit(1);
            _exit(0);
        }
    for (int i = 0; i < 8; i++)
        waitpid(children[i], NULL, 0);
    struct stat stat_of_log;
    stat("log", &stat_of_log);
    printf("log holds %ld bytes\n", (long)stat_of_log.st_size);
    int next[8] = {0}, order = 1, who, n;
    FILE *log = fopen("log", "r");
    while (fscanf(log, "%d %d\n", &who, &n) == 2)
        order &= next[who]++ == n;
    fclose(log);
    printf("each writer's lines in order: %d\n", order);
    unlink("log"); /* how the writers took turns is another story each time */
}

int main(void)
{
    char text[16] = "";
    write_file("f", "0123456789abcdef\n");
    const int fd = open("f", O_RDWR);
    const int duplicate = dup(fd), other = open("f", O_RDWR);
    SAY(read(fd, text, 4));
    show_offset("twin", duplicate);
    show_offset("other", other);
    IN_CHILD("child", SAY(read(duplicate, text, 3)));
    show_offset("after the child", fd);
    IN_CHILD("append in child", fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
    show_offset("after F_SETFL in a child", fd);
    SAY(write(fd, "END", 3));
    show_file("f");
    show_offset("after appending", duplicate);

    int channel[2];
    SAY(socketpair(AF_UNIX, SOCK_STREAM, 0, channel));
    IN_CHILD("sender", {
        int sent = open("sent", O_RDWR | O_CREAT, 0600);
        write(sent, "from child", 10);
        lseek(sent, 5, SEEK_SET);
        unlink("sent");
        give(channel[0], sent);
        give(channel[0], fd);
    });
    const int got = take(channel[1]), again = take(channel[1]);
    struct stat stat_of_got;
    fstat(got, &stat_of_got);
    printf("links %ld, size %ld, mode %o\n", (long)stat_of_got.st_nlink, (long)stat_of_got.st_size,
           stat_of_got.st_mode);
    memset(text, 0, sizeof text);
    SAY(read(got, text, 10));
    printf("read \"%s\"\n", text);
    show_offset("the same open file", again);
    lseek(again, 1, SEEK_SET);
    show_offset("seen through the first", fd);

    SAY(rename("f", "g"));
    write_file("f", "another");
    SAY(pwrite(other, "XX", 2, 0));
    show_file("f");
    show_file("g");
    SAY(unlink("g"));
    SAY(ftruncate(other, 5));
    fstat(fd, &stat_of_got);
    printf("links %ld, size %ld\n", (long)stat_of_got.st_nlink, (long)stat_of_got.st_size);
    SAY(dup2(fd, 20));
    SAY(close_range(15, 30, 0));
    SAY(fcntl(20, F_GETFD));
    appenders();
    return 0;
}
