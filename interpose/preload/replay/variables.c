/* variables.c - names are noted at once, or kept until it is known whether there is a unit. */
#include "variables.h"

#define EARLY_MAX 32
#define NAME_BYTES 64

bool velo_variables_are_early = true;
static char early[EARLY_MAX][NAME_BYTES];
static unsigned early_count; /* more than there is room for: some were forgotten */

/* Only this process's constructors run. */
static void keep(const char *name, size_t length)
{
    if (early_count < EARLY_MAX && length < NAME_BYTES)
        memcpy(early[early_count++], name, length + 1);
    else
        early_count = EARLY_MAX + 1;
}

void velo_saw_variable_now(const char *name)
{
    if (velo_unit != NULL)
        velo_saw_text(VELO_RECORD_VARIABLE, name);
    else
        keep(name, strlen(name));
}

/* After unit.c's (102). A name that is empty stands for any. */
__attribute__((constructor(103))) static void note_early(void)
{
    velo_variables_are_early = false;
    if (velo_unit == NULL)
        return;
    for (unsigned i = 0; i < early_count && i < EARLY_MAX; i++)
        velo_saw_text(VELO_RECORD_VARIABLE, early[i]);
    if (early_count > EARLY_MAX)
        velo_saw_text(VELO_RECORD_VARIABLE, "");
}
