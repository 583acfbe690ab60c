/* F_SETLEASE: granted while nobody else has the file open, refused otherwise, broken by who comes. */
#include <signal.h>

#include "say.h"

static volatile sig_atomic_t broken;
static void on_break(int number)
{
    (void)number;
    broken++;
}

static int leased;
static void give_up(int number)
{
    (void)number;
    fcntl(leased, F_SETLEASE, F_UNLCK);
}

int main(void)
{
    signal(SIGIO, on_break);
    write_file("f", "text");
    write_file("g", "text");
    const int fd = open("f", O_RDONLY);
    SAY(fcntl(fd, F_GETLEASE));
    SAY(fcntl(fd, F_SETLEASE, F_RDLCK));
    SAY(fcntl(fd, F_GETLEASE));
    IN_CHILD("a reader does not break it", show_file("f"));
    printf("broken %d\n", broken);
    IN_CHILD("a writer does", { SAY(open("f", O_WRONLY | O_NONBLOCK)); });
    printf("broken %d, now %d\n", broken, fcntl(fd, F_GETLEASE));
    SAY(fcntl(fd, F_SETLEASE, F_UNLCK));
    IN_CHILD("after it", {
        const int later = open("f", O_WRONLY | O_NONBLOCK);
        printf("%d\n", later >= 0);
    });
    const int writer = open("g", O_RDWR);
    SAY(fcntl(writer, F_SETLEASE, F_RDLCK));
    SAY(fcntl(writer, F_SETLEASE, F_WRLCK));
    for (int i = 0; i < 200; i++) { /* whoever looks after the file must not be heard */
        usleep(5000);
        if (broken > 1)
            break;
    }
    printf("broken %d, now %d\n", broken, fcntl(writer, F_GETLEASE));
    IN_CHILD("a reader breaks that", { SAY(open("g", O_RDONLY | O_NONBLOCK)); });
    printf("broken %d\n", broken);
    SAY(fcntl(writer, F_SETLEASE, F_UNLCK));
    const int other = open("g", O_RDONLY);
    SAY(fcntl(writer, F_SETLEASE, F_WRLCK));
    close(other);
    SAY(fcntl(writer, F_SETLEASE, F_WRLCK));
    SAY(fcntl(writer, F_SETLEASE, 77));
    SAY(fcntl(writer, F_GETSIG));
    SAY(fcntl(fd, F_GETSIG));
    leased = writer;
    IN_CHILD("a reader begins to break it", { SAY(open("g", O_RDONLY | O_NONBLOCK)); });
    signal(SIGALRM, give_up);
    alarm(1);
    IN_CHILD("a length that is set waits", SAY(truncate("g", 2)));
    printf("now %d\n", fcntl(writer, F_GETLEASE));
    return 0;
}
