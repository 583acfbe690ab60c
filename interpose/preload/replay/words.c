/* words.c - what a program of a unit was told by its arguments. */
#include "words.h"

#include "kernel/text.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"
#include "log.h"
#include "special.h"

/* More says only that there was more: a script of that size is a file. */
#define WORDS_MAX (256u << 10)

/* programs.py has rules for these that look at their words (tests/replay/test_log.py). */
static bool counts(const char *name)
{
    static const char *const told[] = {
        "sh",     "dash",   "bash",       "busybox", "awk",         "mawk", "gawk", "cmake",
        "cp",     "mv",     "diff",       "touch",   "test",        "[",    "perl", "ar",
        "ranlib", "gcc-ar", "gcc-ranlib", "llvm-ar", "llvm-ranlib", NULL};
    return velo_is_one_of(name, told);
}

/* The kernel puts the words one after the other, each ended by 0. Returns 0 when another maker did it otherwise. */
static size_t length_of(int argc, char *const argv[])
{
    const char *end = argv[0];
    for (int i = 0; i < argc; i++) {
        if (argv[i] != end)
            return 0;
        end += strlen(end) + 1;
    }
    return (size_t)(end - argv[0]);
}

static bool has_input(void)
{
    struct stat stat;
    return raw_fstat(0, &stat) == 0 && !velo_is_null(&stat);
}

bool velo_words_of(const char *path, int argc, char *const argv[], struct velo_words *words)
{
    if (argc < 1 || (!counts(velo_base_of(path)) && !counts(program_invocation_short_name)))
        return false;
    const size_t length = length_of(argc, argv);
    const bool whole = length != 0 && length <= WORDS_MAX;
    if (velo_absolute_text(AT_FDCWD, ".", words->cwd) < 0)
        words->cwd[0] = 0;
    words->flags = (whole ? 0 : VELO_WORDS_CUT) | (has_input() ? VELO_WORDS_INPUT : 0);
    words->text = argv[0];
    words->length = whole ? length : 0;
    return true;
}
