/* again.c - a place that was true a moment ago, and may not be so any more, is looked at once more. */
#include "core/arena/layout.h"
#include "core/tree/outcome.h"
#include "core/tree/snapshot.h"

#include <errno.h>
#include <string.h>

#include "core/tree/tree.h"
#include "core/tree/path.h"
#include "core/calls/again.h"

int velo_walk_again(struct velo_region *region, unsigned flags, struct velo_place *place)
{
    char text[PATH_MAX];
    const int slash = place->asked.must_be_directory && place->text.path_length + 1u < PATH_MAX;
    memcpy(text, place->text.path, (size_t)place->text.path_length + 1);
    if (slash) {
        text[place->text.path_length] = '/';
        text[place->text.path_length + 1] = 0;
    }
    const int base = place->asked.base;
    const char *given = place->asked.given;
    const uint8_t unmovable = place->asked.unmovable;
    const int rc = velo_walk(region, text, flags, place);
    place->asked.base = base;
    place->asked.unmovable = unmovable;
    place->asked.given = given;
    return rc;
}

int velo_try_again(struct velo_region *region, struct velo_place *place)
{
    const int rc = velo_walk_again(region, VELO_WALK_NOFOLLOW, place);
    return rc == 0 && place->at.type == VELO_NONE ? -ENOENT : rc;
}

int velo_became_the_kernels(struct velo_region *region, struct velo_place *place, int rc)
{
    return rc == -ENOENT && VELO_READ(region->header->retired_count) != 0 &&
           velo_walk_again(region, VELO_WALK_NOFOLLOW, place) == 0 &&
           place->at.kind == VELO_OUTSIDE;
}

int velo_fresh_path(struct velo_region *region, struct velo_place *place)
{
    /* The name stands at the end of place->text.path, so it is kept aside while the path is rebuilt. */
    char name[VELO_NAME_MAX + 1];
    memcpy(name, place->text.name, place->text.name_length);
    const int length =
        velo_name_path(region, place->at.parent, name, place->text.name_length, place->text.path);
    if (length < 0)
        return length;
    place->text.path_length = (uint16_t)length;
    place->text.name = place->text.path + length - place->text.name_length;
    return 0;
}
