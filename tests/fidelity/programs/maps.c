/* Memory maps: shared and private, after close, unlink and fork, truncated and grown under them. */
#include "say.h"

static size_t page;

static char *map_file(const char *name, int open_flags, int protection, int flags, size_t length)
{
    const int fd = open(name, open_flags, 0644);
    char *map = mmap(NULL, length, protection, flags, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        say(name, -1);
    return map;
}

int main(void)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    write_file("f", "0123456789");
    char *shared = map_file("f", O_RDWR, PROT_READ | PROT_WRITE, MAP_SHARED, page);
    char *reading = map_file("f", O_RDONLY, PROT_READ, MAP_SHARED, page);
    char *private = map_file("f", O_RDONLY, PROT_READ | PROT_WRITE, MAP_PRIVATE, page);
    memcpy(shared, "AB", 2);
    memcpy(private + 4, "pp", 2);
    printf("%.10s %.10s %.10s\n", shared, reading, private);
    show_file("f");
    IN_CHILD("child writes", memcpy(shared + 8, "cc", 2));
    printf("%.10s %.10s\n", shared, reading);
    SAY(msync(shared, page, MS_SYNC));
    SAY(msync(shared, page, MS_ASYNC | MS_SYNC));
    const int fd = open("f", O_RDWR);
    SAY(pwrite(fd, "written", 7, 0));
    printf("%.10s %.10s\n", shared, reading);
    SAY(lseek(fd, 0, SEEK_END));
    SAY(ftruncate(fd, 30));
    printf("after growing: %d\n", shared[20]);

    SAY(ftruncate(fd, 3 * (off_t)page));
    char *wide = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    wide[2 * page] = 'z';
    SAY(ftruncate(fd, (off_t)page));
    IN_CHILD("truncated under the map", printf("%d\n", wide[2 * page]));
    IN_CHILD("beyond the end", {
        char *far = map_file("f", O_RDONLY, PROT_READ, MAP_SHARED, 4 * page);
        printf("%d\n", far[3 * page]);
    });
    IN_CHILD("read-only map", ((volatile char *)reading)[0] = 1);
    SAY(ftruncate(fd, 3 * (off_t)page));
    printf("after growing again: %d\n", wide[2 * page]);
    SAY((long)(mmap(NULL, page, PROT_WRITE, MAP_SHARED, open("f", O_RDONLY), 0) == MAP_FAILED));
    SAY((long)(mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED));
    SAY((long)(mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 1) == MAP_FAILED));
    SAY((long)(mmap(NULL, page, PROT_READ, MAP_SHARED, open("f", O_WRONLY), 0) == MAP_FAILED));

    wide = mremap(wide, 3 * page, page, MREMAP_MAYMOVE);
    SAY(unlink("f"));
    memcpy(wide, "alive", 5);
    printf("unlinked: %.5s %.5s\n", shared, reading);
    struct stat now;
    fstat(fd, &now);
    printf("links %ld size %ld\n", (long)now.st_nlink, (long)now.st_size);
    write_file("f", "new file");
    printf("still: %.5s\n", shared);

    /* As linkers write: make room, map, close, fill. */
    const int out = open("out", O_RDWR | O_CREAT | O_TRUNC, 0755);
    SAY(posix_fallocate(out, 0, 2 * (off_t)page));
    char *image = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, out, 0);
    close(out);
    memset(image, 'i', 2 * page);
    SAY(munmap(image, 2 * page));
    stat("out", &now);
    printf("out: %ld bytes, mode %o\n", (long)now.st_size, now.st_mode);
    const int check = open("out", O_RDONLY);
    char last = 0;
    SAY(pread(check, &last, 1, 2 * (off_t)page - 1));
    printf("%c\n", last);
    SAY(madvise(wide, page, MADV_DONTNEED));
    unsigned char resident[1];
    SAY(mincore(wide, page, resident));
    return 0;
}
