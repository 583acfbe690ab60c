/* Directories with a default ACL: what is made in them has the rights that it says, not umask's. */
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/xattr.h>

#include "say.h"

static const struct {
    struct posix_acl_xattr_header header;
    struct posix_acl_xattr_entry entries[5];
} acl = {{POSIX_ACL_XATTR_VERSION},
         {{ACL_USER_OBJ, 7, (unsigned)-1},
          {ACL_GROUP_OBJ, 7, (unsigned)-1},
          {ACL_GROUP, 6, 4711},
          {ACL_MASK, 7, (unsigned)-1},
          {ACL_OTHER, 4, (unsigned)-1}}};

static void show(const char *path)
{
    struct stat now;
    char value[256];
    if (stat(path, &now) != 0) {
        say(path, -1);
        return;
    }
    printf("%s: mode %o", path, now.st_mode);
    printf(", access %ld", (long)getxattr(path, "system.posix_acl_access", value, sizeof value));
    printf(", default %ld\n",
           (long)getxattr(path, "system.posix_acl_default", value, sizeof value));
}

static void make(const char *path, mode_t mode)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_EXCL, mode);
    struct stat now;
    if (fd < 0 || write(fd, "text", 4) != 4 || fstat(fd, &now) != 0)
        say(path, -1);
    else
        printf("%s: born %o\n", path, now.st_mode);
    close(fd);
    show(path);
}

int main(void)
{
    int fd;
    umask(077);
    mkdir("d", 0755);
    make("d/before", 0666);
    SAY(setxattr("d", "system.posix_acl_default", &acl, sizeof acl, 0));
    show("d");
    make("d/a", 0666);
    make("d/b", 0640);
    make("d/program", 0777);
    SAY(mkdir("d/e", 0777));
    show("d/e");
    make("d/e/a", 0666);
    SAY_OPEN(fd, open("d", O_TMPFILE | O_RDWR, 0666));
    struct stat now;
    fstat(fd, &now);
    printf("nameless: %o\n", now.st_mode);
    close(fd);

    make("plain", 0666);
    SAY(rename("plain", "d/moved"));
    show("d/moved");
    write_file("d/a", "other text");
    show("d/a");
    SAY(rename("d/e/a", "out"));
    show("out");
    write_file("out", "third text");
    show("out");

    SAY_OPEN(fd, open("d/e", O_RDONLY | O_DIRECTORY));
    SAY(fremovexattr(fd, "system.posix_acl_default"));
    make("d/e/b", 0666);
    SAY(fsetxattr(fd, "system.posix_acl_default", &acl, sizeof acl, 0));
    make("d/e/c", 0666);
    close(fd);
    SAY(removexattr("d", "system.posix_acl_default"));
    make("d/last", 0666);
    SAY(mkdir("d/f", 0777));
    make("d/f/a", 0666);
    return 0;
}
