/* library.c - what loads.c loads: a function that makes a file by raw calls. */
#include "raw.h"

int library_make(const char *name)
{
    return make(name);
}
