/* loosen.c - giving ourselves the right to write to a directory, for one step.  See loosen.h. */
#include "loosen.h"

#include <errno.h>
#include <fcntl.h>

#include "lock.h"
#include "os.h"
#include "tree.h"

#define OWNERS_RIGHTS 0300

struct step {
    int dirfd;
    const char *name, *other;
};

static int create(const struct step *s)
{
    return velo_os_openat(s->dirfd, s->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

static int remove_name(const struct step *s)
{
    return velo_os_unlinkat(s->dirfd, s->name, 0);
}

static int rename_name(const struct step *s)
{
    return velo_os_renameat(s->dirfd, s->name, s->dirfd, s->other, 0);
}

static int link_path(const struct step *s)
{
    return velo_os_linkat(AT_FDCWD, s->other, s->dirfd, s->name, 0);
}

static int loosely(struct velo_region *region, uint32_t directory,
                   int (*do_it)(const struct step *), const struct step *s)
{
    int rc = do_it(s);
    if (rc != -EACCES)
        return rc;
    char path[PATH_MAX];
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, directory);
    const mode_t mode = node->mode & 07777;
    if (node->type == VELO_DIRECTORY && (mode & OWNERS_RIGHTS) != OWNERS_RIGHTS &&
        velo_directory_path(region, directory, path) > 0) {
        atomic_store(&region->header->loosened, directory);
        if (velo_os_chmod(path, mode | OWNERS_RIGHTS) == 0) {
            rc = do_it(s);
            velo_os_chmod(path, mode);
        }
        atomic_store(&region->header->loosened, 0);
    }
    velo_commit(region, &hold);
    return rc;
}

int velo_loose_create(struct velo_region *region, uint32_t directory, int dirfd, const char *name)
{
    return loosely(region, directory, create, &(struct step){dirfd, name, NULL});
}

int velo_loose_unlink(struct velo_region *region, uint32_t directory, int dirfd, const char *name)
{
    return loosely(region, directory, remove_name, &(struct step){dirfd, name, NULL});
}

int velo_loose_rename(struct velo_region *region, uint32_t directory, int dirfd, const char *from,
                      const char *to)
{
    return loosely(region, directory, rename_name, &(struct step){dirfd, from, to});
}

int velo_loose_link(struct velo_region *region, uint32_t directory, const char *path, int dirfd,
                    const char *name)
{
    return loosely(region, directory, link_path, &(struct step){dirfd, name, path});
}

void velo_loosened_recover(struct velo_region *region)
{
    char path[PATH_MAX];
    const uint32_t directory = atomic_load(&region->header->loosened);
    const struct velo_node *node = velo_node_at(region, directory);
    if (directory == 0)
        return;
    if (node->type == VELO_DIRECTORY && velo_directory_path(region, directory, path) > 0)
        velo_os_chmod(path, node->mode & 07777);
    atomic_store(&region->header->loosened, 0);
}
