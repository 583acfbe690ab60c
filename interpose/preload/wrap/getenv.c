/* getenv.c - which variables a step depends on: the names that its programs ask for. */
#include "preload/base/preload.h"
#include "preload/replay/variables.h"

EXPORT char *getenv(const char *name)
{
    velo_saw_variable(name);
    return NEXT(getenv)(name);
}

EXPORT char *secure_getenv(const char *name)
{
    velo_saw_variable(name);
    return NEXT(secure_getenv)(name);
}
