/* key.c - two steps are the same when all that a program is given is the same.
 *
 * The key is a digest of it: what differs has another one. Variables that name a terminal, a session or a job's slot
 * are left out; programs that look at all variables are told apart by a second digest of those (`rest`). */
#include "key.h"

#include <sys/resource.h>
#include <unistd.h>

#include "kernel/sys.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"

static const char *const ignored[] = {
    "_=",           "SHLVL=",        "OLDPWD=", "WINDOWID=",        "TERM_SESSION_ID=",
    "XDG_SESSION_", "SSH_",          "DBUS_",   "CARGO_MAKEFLAGS=", "VELO_",
    "LD_PRELOAD=",  "MAKE_TERMOUT=", "MFLAGS=", "MAKE_TERMERR=",
};

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

bool velo_variable_counts(const char *entry)
{
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        if (begins_with(entry, ignored[i]))
            return false;
    return true;
}

/* -j, -jN, --jobserver-auth=..., --jobserver-fds=...: how many jobs there are changes no result. */
static bool is_jobs(const char *word)
{
    return begins_with(word, "--jobserver") || (word[0] == '-' && word[1] == 'j');
}

size_t velo_variable_text(const char *entry, char *out, size_t room)
{
    const size_t length = strlen(entry);
    if (!begins_with(entry, "MAKEFLAGS=")) {
        const size_t taken = length < room ? length : room - 1;
        memcpy(out, entry, taken);
        out[taken] = 0;
        return taken;
    }
    size_t used = 0;
    for (const char *word = entry; *word != 0 && used + 1 < room;) {
        size_t size = strcspn(word, " ");
        const char *next = word + size;
        next += strspn(next, " ");
        if (!is_jobs(word)) {
            size = size < room - used - 2 ? size : room - used - 2;
            memcpy(out + used, word, size);
            used += size;
            out[used++] = ' ';
        }
        word = next;
    }
    out[used] = 0;
    return used;
}

static void add_text(struct velo_sha256 *hash, const char *text)
{
    velo_sha256_add(hash, text, strlen(text) + 1);
}

static void add_environment(struct velo_step *step, struct velo_sha256 *hash)
{
    struct velo_sha256 rest;
    char text[4096];
    velo_sha256_begin(&rest);
    for (char *const *entry = step->envp; entry != NULL && *entry != NULL; entry++) {
        const bool counts = velo_variable_counts(*entry);
        if (counts && begins_with(*entry, "MAKEFLAGS=")) {
            velo_variable_text(*entry, text, sizeof text);
            add_text(hash, text);
        } else if (counts) {
            add_text(hash, *entry);
        }
        if ((!counts && !begins_with(*entry, "VELO_") && !begins_with(*entry, "_=") &&
             !begins_with(*entry, "LD_PRELOAD=")) ||
            begins_with(*entry, "MAKEFLAGS="))
            add_text(&rest, *entry);
    }
    velo_sha256_end(&rest, step->rest);
}

static uint32_t umask_now(void)
{
    const uint32_t mask = (uint32_t)velo_sys1(SYS_umask, 077);
    velo_sys1(SYS_umask, mask);
    return mask;
}

static void add_inherited(const struct velo_step *step, struct velo_sha256 *hash)
{
    /* Not what its input is: make gives one job its own and the others a broken pipe, as it comes. Who reads
     * it is not cached. */
    uint64_t words[10] = {VELO_LOG_MAGIC, step->streams & ~3u, umask_now()};
    words[3] = (uint64_t)velo_sys0(SYS_geteuid);
    words[4] = (uint64_t)velo_sys0(SYS_getegid);
    words[5] = step->pipes[0] == step->pipes[1];
    struct rlimit limit = {0, 0};
    velo_sys4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, velo_word(&limit));
    words[6] = limit.rlim_cur;
    velo_sys4(SYS_prlimit64, 0, RLIMIT_STACK, 0, velo_word(&limit));
    words[7] = limit.rlim_cur;
    velo_sha256_add(hash, words, sizeof words);
}

bool velo_step_identify(struct velo_step *step)
{
    struct velo_sha256 hash;
    char cwd[PATH_MAX];
    if (velo_absolute_text(AT_FDCWD, ".", cwd) < 0)
        return false;
    velo_sha256_begin(&hash);
    add_inherited(step, &hash);
    add_text(&hash, step->program);
    add_text(&hash, cwd);
    for (char *const *argument = step->argv; *argument != NULL; argument++)
        add_text(&hash, *argument);
    velo_sha256_add(&hash, "", 1);
    add_environment(step, &hash);
    velo_sha256_end(&hash, step->key);
    return true;
}
