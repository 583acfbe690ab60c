/* key.c - two steps are the same when all that a program is given is the same.
 *
 * The key is a digest of program, arguments and directory, and of the variables that libc, the loader and shells ask
 * for unseen. Which other variables count, each entry says: those that its programs asked for (getenv), or all of them
 * but for those that name a terminal, a session or a job's slot; and where a program looks at all, these too, and the
 * order (`rest`): a shell that is put before a build tool sorts them anew. The path of the workspace is left out.
 * The name of the machine, which each container and each runner of a CI has of its own, is one more variable. */
#include "key.h"

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kernel/os.h"
#include "kernel/text.h"
#include "probe.h"
#include "unit.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"
#include "preload/write/credit.h"

#define IGNORED_BYTES 1024

static const char *const ignored[] = {
    "_=",           "SHLVL=",        "OLDPWD=", "WINDOWID=",        "TERM_SESSION_ID=",
    "XDG_SESSION_", "SSH_",          "DBUS_",   "CARGO_MAKEFLAGS=", "VELO_",
    "LD_PRELOAD=",  "MAKE_TERMOUT=", "MFLAGS=", "MAKE_TERMERR=",    NULL};

/* Libc and the loader ask for these by no call that is seen, shells for them without being told. */
static const char *const unseen[] = {"ARGP_HELP_FMT=",
                                     "BASH",
                                     "CDPATH=",
                                     "DATEMSK=",
                                     "ENV=",
                                     "EXECIGNORE=",
                                     "FUNCNEST=",
                                     "GCONV_PATH=",
                                     "GLIBC",
                                     "GLOBIGNORE=",
                                     "GMON_OUT_PREFIX=",
                                     "HOME=",
                                     "HOSTALIASES=",
                                     "IFS=",
                                     "LANG=",
                                     "LANGUAGE=",
                                     "LC_",
                                     "LD_",
                                     "LOCALDOMAIN=",
                                     "LOCPATH=",
                                     "MALLOC_",
                                     "MSGVERB=",
                                     "NLSPATH=",
                                     "OPTERR=",
                                     "OPTIND=",
                                     "OUTPUT_CHARSET=",
                                     "PATH=",
                                     "POSIXLY_CORRECT=",
                                     "PS4=",
                                     "PWD=",
                                     "RESOLV_",
                                     "RES_OPTIONS=",
                                     "SEV_LEVEL=",
                                     "SHELLOPTS=",
                                     "TIMEFORMAT=",
                                     "TMOUT=",
                                     "TMPDIR=",
                                     "TZ=",
                                     "TZDIR=",
                                     NULL};

/* `[replay] ignore` of velo.toml: names, with colons between; a `*` ends one that stands for any that begin so. */
static char ignored_by_user[IGNORED_BYTES];

/* Programs may change their environment later. After unit.c's (102). */
__attribute__((constructor(103))) static void learn_ignored(void)
{
    const char *names = velo_variable("VELO_REPLAY_IGNORE");
    if (velo_replay_mode() != VELO_REPLAY_OFF && names != NULL && strlen(names) < IGNORED_BYTES)
        strcpy(ignored_by_user, names);
}

static bool is_ignored_by_user(const char *entry)
{
    size_t length;
    for (const char *name = ignored_by_user; *name != 0; name += length + (name[length] == ':')) {
        length = strcspn(name, ":");
        const bool is_start = length > 1 && name[length - 1] == '*';
        if (length > 0 && strncmp(entry, name, length - is_start) == 0 &&
            (is_start || entry[length] == '='))
            return true;
    }
    return false;
}

bool velo_variable_counts(const char *entry)
{
    return !is_ignored_by_user(entry) && !velo_begins_like_one_of(entry, ignored);
}

/* Not LD_PRELOAD, in which our library stands. */
static bool counts_always(const char *entry)
{
    return velo_begins_like_one_of(entry, unseen) && velo_variable_counts(entry);
}

/* --jobserver-auth=..., --jobserver-fds=...: the pipe or file that jobs take tokens from is another one each time. */
static bool is_jobserver(const char *word)
{
    return velo_begins(word, "--jobserver");
}

/* Also -j, -jN: how many jobs there are changes no result. */
static bool is_jobs(const char *word)
{
    return is_jobserver(word) || (word[0] == '-' && word[1] == 'j');
}

/* The next word that is not left out, and its length; NULL behind the last. */
static const char *next_word(const char *text, bool (*is_left_out)(const char *), size_t *length)
{
    for (text += strspn(text, " "); *text != 0; text += *length, text += strspn(text, " ")) {
        *length = strcspn(text, " ");
        if (!is_left_out(text))
            return text;
    }
    return NULL;
}

static bool is_makeflags(const char *entry)
{
    return velo_begins(entry, "MAKEFLAGS=");
}

size_t velo_variable_text(const char *entry, char *out, size_t room)
{
    size_t used = 0, length = 0;
    if (!is_makeflags(entry)) {
        used = strnlen(entry, room - 1);
        memcpy(out, entry, used);
    } else {
        for (const char *word = entry; (word = next_word(word, is_jobs, &length)) != NULL;
             word += length) {
            if (used + length + 2 > room)
                break;
            memcpy(out + used, word, length);
            used += length;
            out[used++] = ' ';
        }
    }
    out[used] = 0;
    return used;
}

/* What stands in a key for the path of the workspace, so that clones of a repository have the same keys: no text that
 * a program is given has these bytes. Whether an entry is true of another clone, shards/replay/portable.py says. */
static const unsigned char workspace_mark[16] = {0x01, 0x9d, 0xe3, 0x02, 0x7c, 0xf1, 0x83, 0xb6,
                                                 0xa8, 0x1f, 0xc4, 0x95, 0xd7, 0x03, 0xee, 0x01};

static bool is_edge(char c)
{
    return c == 0 || strchr(":=,; \"'()|&\n", c) != NULL;
}

/* Does a path begin here that is the workspace's, or leads below it? */
static bool stands_alone(const char *text, const char *at, size_t length)
{
    return (at == text || is_edge(at[-1])) && (at[length] == '/' || is_edge(at[length]));
}

static void add_text(struct velo_sha256 *hash, const char *text)
{
    const char *workspace = velo_workspace_of(velo_here()), *rest = text;
    const size_t length = strlen(workspace);
    if (length > 1)
        for (const char *at = text; (at = strstr(at, workspace)) != NULL; at += length) {
            if (!stands_alone(text, at, length))
                continue;
            velo_sha256_add(hash, rest, (size_t)(at - rest));
            velo_sha256_add(hash, workspace_mark, sizeof workspace_mark);
            rest = at + length;
        }
    velo_sha256_add(hash, rest, strlen(rest) + 1);
}

static void add_words(struct velo_sha256 *hash, const char *entry,
                      bool (*is_left_out)(const char *))
{
    size_t length = 0;
    for (const char *word = entry; (word = next_word(word, is_left_out, &length)) != NULL;
         word += length) {
        velo_sha256_add(hash, word, length);
        velo_sha256_add(hash, " ", 1);
    }
    velo_sha256_add(hash, "", 1);
}

/* Does not count, and differs from one build to the next because of us or of the shell alone. */
bool velo_variable_is_noise(const char *entry)
{
    return velo_begins(entry, "VELO_") || velo_begins(entry, "_=") ||
           velo_begins(entry, "LD_PRELOAD=") || is_ignored_by_user(entry);
}

/* Programs that look at these may see how many jobs there are. */
static bool names_jobs(const char *entry)
{
    return is_makeflags(entry) || velo_begins(entry, "CARGO_MAKEFLAGS=") ||
           velo_begins(entry, "MFLAGS=");
}

/* ---- variables, in an order that shells do not change ---------------------------------------- */

/* By name, as strcmp has it: 0 ends one, or `=`. */
static int compare_names(const char *one, const char *other)
{
    const unsigned char *a = (const unsigned char *)one, *b = (const unsigned char *)other;
    while (*a == *b && *a != 0 && *a != '=')
        a++, b++;
    return (*a == '=' ? 0 : *a) - (*b == '=' ? 0 : *b);
}

/* Of two with one name, which is the first counts: programs take that one. */
static bool is_before(const struct velo_variable *one, const struct velo_variable *other)
{
    const int order = compare_names(one->text, other->text);
    return order != 0 ? order < 0 : one->place < other->place;
}

/* Shell's: in place, as a child that was forked from threads may not allocate. */
static void sort(struct velo_variable *all, size_t count)
{
    for (size_t gap = count / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < count; i++) {
            const struct velo_variable one = all[i];
            size_t at = i;
            for (; at >= gap && is_before(&one, &all[at - gap]); at -= gap)
                all[at] = all[at - gap];
            all[at] = one;
        }
}

static void name_machine(char entry[VELO_MACHINE_BYTES])
{
    struct utsname machine;
    machine.nodename[0] = 0;
    velo_sys1(SYS_uname, velo_word(&machine));
    stpcpy(stpcpy(entry, VELO_NAME_OF_MACHINE "="), machine.nodename);
}

static void gather(struct velo_step *step)
{
    uint32_t count = 0, place = 0;
    for (char *const *entry = step->envp; entry != NULL && *entry != NULL; entry++, place++)
        if (count < VELO_VARIABLES_MAX)
            step->variables[count++] = (struct velo_variable){*entry, place};
    step->has_more = place > count;
    name_machine(step->machine);
    step->variables[count++] = (struct velo_variable){step->machine, place};
    step->variable_count = count;
    sort(step->variables, count);
}

static void add_variable(struct velo_sha256 *hash, const char *entry)
{
    if (is_makeflags(entry))
        add_words(hash, entry, is_jobs);
    else
        add_text(hash, entry);
}

/* PWD is the name that the working directory, or one above it, has without symlinks: what asks for the directory and
 * finds PWD to be it, or not to be it, knows the same. So `ninja -C build` and `cd build; ninja` have the same steps. */
static bool says_nothing(const char *entry, const char *cwd)
{
    if (!velo_begins(entry, "PWD="))
        return false;
    const size_t length = strlen(entry + 4);
    return length > 0 && strncmp(cwd, entry + 4, length) == 0 &&
           (cwd[length] == '/' || cwd[length] == 0);
}

static void add_always(const struct velo_step *step, struct velo_sha256 *hash, const char *cwd)
{
    for (uint32_t i = 0; i < step->variable_count; i++)
        if (counts_always(step->variables[i].text) && !says_nothing(step->variables[i].text, cwd))
            add_variable(hash, step->variables[i].text);
}

const uint8_t *velo_step_counted(struct velo_step *step)
{
    struct velo_sha256 hash;
    if (step->has_counted)
        return step->counted;
    velo_sha256_begin(&hash);
    for (uint32_t i = 0; i < step->variable_count; i++)
        if (velo_variable_counts(step->variables[i].text))
            add_variable(&hash, step->variables[i].text);
    for (uint32_t i = VELO_VARIABLES_MAX; step->has_more && step->envp[i] != NULL; i++)
        if (velo_variable_counts(step->envp[i]))
            add_variable(&hash, step->envp[i]);
    velo_sha256_end(&hash, step->counted);
    step->has_counted = true;
    return step->counted;
}

const uint8_t *velo_step_named(struct velo_step *step, const char *names)
{
    struct velo_sha256 hash;
    if (step->has_more)
        return NULL;
    if (step->names == names)
        return step->named;
    velo_sha256_begin(&hash);
    const char *name = names;
    for (uint32_t i = 0; i < step->variable_count; i++) {
        int order = 1;
        while (*name != 0 && (order = compare_names(name, step->variables[i].text)) < 0)
            name += strlen(name) + 1;
        if (*name != 0 && order == 0 && !velo_variable_is_noise(step->variables[i].text))
            add_variable(&hash, step->variables[i].text);
    }
    velo_sha256_end(&hash, step->named);
    step->names = names;
    return step->named;
}

/* With what `nproc` and `ulimit` tell. Most steps are compilations, which need not pay for that. */
const uint8_t *velo_step_rest(struct velo_step *step)
{
    struct velo_sha256 hash;
    uint64_t processors[16] = {0};
    struct rlimit limit = {0, 0};
    if (step->has_rest)
        return step->rest;
    velo_sha256_begin(&hash);
    for (char *const *entry = step->envp; entry != NULL && *entry != NULL; entry++) {
        if (names_jobs(*entry))
            add_words(&hash, *entry, is_jobserver);
        else if (velo_variable_counts(*entry))
            velo_sha256_add(&hash, *entry, strcspn(*entry, "=") + 1);
        else if (!velo_variable_is_noise(*entry))
            add_text(&hash, *entry);
    }
    velo_sys3(SYS_sched_getaffinity, 0, sizeof processors, velo_word(processors));
    velo_sha256_add(&hash, processors, sizeof processors);
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        velo_sys4(SYS_prlimit64, 0, i, 0, velo_word(&limit));
        velo_sha256_add(&hash, &limit, sizeof limit);
    }
    velo_sha256_end(&hash, step->rest);
    step->has_rest = true;
    return step->rest;
}

/* umask(2) tells only by setting it: other threads might make a file meanwhile, so where there may be some, /proc is
 * asked. UINT32_MAX: it does not say. */
static uint32_t umask_now(void)
{
    char text[512], *line = NULL;
    uint32_t mask = 0;
    if (velo_single_threaded != NULL && *velo_single_threaded) {
        mask = (uint32_t)velo_sys1(SYS_umask, 077);
        velo_sys1(SYS_umask, mask);
        return mask;
    }
    velo_os_read_text("/proc/thread-self/status", text, sizeof text);
    line = strstr(text, "Umask:\t");
    if (line == NULL)
        return UINT32_MAX;
    for (line += 7; *line >= '0' && *line <= '7'; line++)
        mask = mask * 8 + (uint32_t)(*line - '0');
    return mask;
}

static void add_inherited(struct velo_sha256 *hash)
{
    /* Not the kinds of its streams. Input: make gives one job its own and the others a broken pipe, as it comes; a
     * step that reads its input is not cached. Output: a compiler that says nothing is the same before a terminal
     * and a file; for other steps the entry says what they need. */
    uint64_t words[6] = {VELO_LOG_MAGIC, umask_now()};
    words[2] = (uint64_t)velo_sys0(SYS_geteuid);
    words[3] = (uint64_t)velo_sys0(SYS_getegid);
    struct rlimit limit = {0, 0};
    velo_sys4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, velo_word(&limit));
    words[4] = limit.rlim_cur;
    velo_sys4(SYS_prlimit64, 0, RLIMIT_STACK, 0, velo_word(&limit));
    words[5] = limit.rlim_cur;
    velo_sha256_add(hash, words, sizeof words);
}

bool velo_step_identify(struct velo_step *step)
{
    struct velo_sha256 hash;
    char cwd[PATH_MAX];
    if (velo_absolute_text(AT_FDCWD, ".", cwd) < 0)
        return false;
    gather(step);
    velo_sha256_begin(&hash);
    add_inherited(&hash);
    add_text(&hash, step->program);
    add_text(&hash, cwd);
    for (char *const *argument = step->argv; *argument != NULL; argument++)
        add_text(&hash, *argument);
    velo_sha256_add(&hash, "", 1);
    add_always(step, &hash, cwd);
    velo_sha256_end(&hash, step->key);
    return true;
}
