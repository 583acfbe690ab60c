/* inherit.c - a program's environment as it was given, and the name of its unit's log. */
#include "inherit.h"

#include <string.h>

#include "preload/base/pointers.h"

size_t velo_unit_environment_bytes(char *const environment[], const char *assignment)
{
    if (assignment[0] == 0 || environment == NULL)
        return 0;
    size_t count = 0;
    while (!velo_cannot_read(&environment[count], sizeof *environment) &&
           environment[count] != NULL)
        count++;
    return (count + 2) * sizeof(char *);
}

char *const *velo_unit_environment_make(char *const environment[], const char *assignment,
                                        void *scratch)
{
    char **made = scratch;
    size_t used = 0;
    for (; !velo_cannot_read(environment, sizeof *environment) && *environment != NULL;
         environment++)
        if (strncmp(*environment, "VELO_UNIT=", 10) != 0)
            made[used++] = *environment;
    made[used++] = (char *)(uintptr_t)assignment;
    made[used] = NULL;
    return made;
}
