/* step.c - in a build tool, or in the child that it forked for a step: is the step answered, or recorded? */
#include "step.h"

#include <stdio.h>
#include <unistd.h>

#include "facts.h"
#include "kernel/os.h"
#include "kernel/text.h"
#include "probe.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"
#include "running.h"
#include "special.h"
#include "tools.h"

#define CANDIDATES_MAX 8
#define SKIPPED_MAX 64 /* of other environments */

/* ---- recording ------------------------------------------------------------------------------- */

/* Those that count, or those that do not. */
static void append_variables(struct velo_log *log, const struct velo_step *step, unsigned flags,
                             unsigned char *buffer)
{
    const bool counts = flags != VELO_VARIABLES_IGNORED;
    size_t used = counts ? strlen(strcpy((char *)buffer, step->machine)) + 1 : 0;
    flags |= step->has_more ? VELO_VARIABLES_CUT : 0u; /* velo_step_named tells nothing of it */
    for (char *const *entry = step->envp; entry != NULL && *entry != NULL; entry++) {
        if (velo_variable_counts(*entry) != counts || velo_variable_is_noise(*entry))
            continue;
        if (used + strlen(*entry) + 2 < VELO_BUFFER_BYTES)
            used += velo_variable_text(*entry, (char *)buffer + used, VELO_BUFFER_BYTES - used) + 1;
        else
            flags |= VELO_VARIABLES_CUT;
    }
    velo_log_append(log, VELO_RECORD_ENVIRONMENT, flags, buffer, used, NULL, 0);
}

/* Texts one after the other, each ended by 0, as one record. */
static void append_key(struct velo_log *log, const struct velo_step *step)
{
    unsigned char *buffer = velo_buffer_take();
    size_t used = 0;
    char cwd[PATH_MAX];
    if (buffer == NULL)
        return;
    const char *start[] = {step->program, velo_absolute_text(AT_FDCWD, ".", cwd) < 0 ? "" : cwd};
    for (size_t i = 0; i < 2; i++, used++)
        used = (size_t)((unsigned char *)stpcpy((char *)buffer + used, start[i]) - buffer);
    for (char *const *argument = step->argv; *argument != NULL; argument++) {
        const size_t length = strlen(*argument) + 1;
        if (used + length > VELO_BUFFER_BYTES / 2)
            break;
        memcpy(buffer + used, *argument, length);
        used += length;
    }
    velo_log_append(log, VELO_RECORD_KEY, 0, buffer, used, NULL, 0);
    append_variables(log, step, 0, buffer);
    append_variables(log, step, VELO_VARIABLES_IGNORED, buffer);
    velo_buffer_give(buffer);
}

static void record(struct velo_step *step, struct velo_begun *begun)
{
    const int place = velo_running_take(step->pipes);
    begun->decision = VELO_STEP_PLAIN;
    if (place < 0)
        return;
    struct velo_log *log = velo_running_log(place);
    memcpy(log->key, step->key, sizeof log->key);
    memcpy(log->rest, velo_step_rest(step), sizeof log->rest);
    memcpy(log->counted, velo_step_counted(step), sizeof log->counted);
    log->streams = (step->streams & 3) | velo_step_outlets(step);
    memcpy(log->streams_inode, step->inodes, sizeof log->streams_inode);
    memcpy(log->streams_device, step->devices, sizeof log->streams_device);
    log->began_ns = begun->stamp;
    log->began_at_ns = begun->began_at_ns;
    log->expected = begun->entry == NULL ? 0 : begun->entry->number + 1;
    atomic_store(&log->started, 1);
    append_key(log, step);
    if (begun->why != NULL)
        velo_log_append(log, VELO_RECORD_WHY, 0, &begun->why->number, sizeof begun->why->number,
                        NULL, 0);
    strcpy(stpcpy(begun->assignment, "VELO_UNIT="), velo_running_path(place));
    begun->place = place;
    begun->decision = VELO_STEP_RECORDED;
}

/* ---- answering ------------------------------------------------------------------------------- */

/* As the log's `terminal` has it; 0: there is none. */
static uint32_t terminal(void)
{
    const int fd = (int)raw_openat(AT_FDCWD, "/dev/tty", O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0)
        return fd == -ENXIO ? 0 : UINT32_MAX;
    const uint32_t columns = velo_columns_of(fd);
    raw_close(fd);
    return 1 + columns;
}

static bool same_variables(const struct velo_index *index, struct velo_step *step,
                           const struct velo_entry *entry)
{
    const uint8_t *digest = entry->variables == 0
                                ? velo_step_counted(step)
                                : velo_step_named(step, velo_index_at(index, entry->variables));
    if (digest == NULL || memcmp(entry->environment, digest, sizeof entry->environment) != 0)
        return false;
    return (entry->flags & VELO_ENTRY_NEEDS_REST) == 0 ||
           memcmp(entry->rest, velo_step_rest(step), sizeof entry->rest) == 0;
}

static bool may_answer(const struct velo_index *index, const struct velo_step *step,
                       const struct velo_entry *entry)
{
    if ((entry->flags & VELO_ENTRY_NEEDS_OUTLETS) != 0 && entry->outlets != velo_step_outlets(step))
        return false;
    if ((entry->flags & VELO_ENTRY_NEEDS_NULL) != 0 && (step->streams & 3) != VELO_STREAM_NULL)
        return false;
    if ((entry->flags & VELO_ENTRY_NEEDS_NO_TERMINAL) != 0 && terminal() != 0)
        return false;
    if (entry->flags >> 16 != 0 && entry->flags >> 16 != terminal())
        return false;
    return velo_index_holds(index, entry);
}

/* One line: number of the entry, microseconds, its offset. answers.py tells the user. */
void velo_step_answered(const struct velo_begun *begun)
{
    char path[sizeof velo_the_region.directory + 16], line[64];
    strcpy(stpcpy(path, velo_the_region.directory), VELO_LOG_DIRECTORY "/answers");
    char *end = line + velo_write_decimal(line, begun->entry->number);
    *end++ = ' ';
    end += velo_write_decimal(end, (uint64_t)(velo_os_monotonic_ns() - begun->began_at_ns) / 1000);
    *end++ = ' ';
    end += velo_write_decimal(end, velo_index_offset(begun->entry));
    *end++ = '\n';
    const int fd = (int)raw_openat(AT_FDCWD, path,
                                   O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    velo_sys3(SYS_write, fd, velo_word(line), end - line);
    raw_close(fd);
}

/* The entry whose facts all hold; else NULL, and the first fact that did not of the newest that has this key. */
static const struct velo_entry *find_entry(const struct velo_index *index, struct velo_step *step,
                                           const struct velo_fact **why)
{
    const struct velo_entry *entry = NULL;
    const bool alone = velo_running_none();
    for (int tried = 0, skipped = 0; tried < CANDIDATES_MAX && skipped < SKIPPED_MAX;) {
        entry = velo_index_find(index, step->key, entry);
        if (entry == NULL)
            return NULL;
        if (!same_variables(index, step, entry)) {
            skipped++;
            continue;
        }
        tried++;
        if (!may_answer(index, step, entry))
            continue;
        const struct velo_fact *failed = velo_facts_fail(index, entry, alone);
        if (failed == NULL)
            return entry;
        if (*why == NULL)
            *why = failed;
    }
    return NULL;
}

bool velo_step_find(struct velo_step *step, struct velo_begun *begun)
{
    if (velo_is_orchestrator(step->program, step->argv) ||
        velo_is_product(step->program, step->argv) || !velo_step_identify(step))
        return false;
    /* Before any fact is asked for: an edit after this is newer than what is restored. */
    begun->stamp = velo_stamp(velo_here(), 1);
    begun->began_at_ns = velo_os_monotonic_ns();
    begun->index = velo_replay_mode() == VELO_REPLAY_RECORD ? NULL : velo_index_there();
    if (begun->index != NULL)
        begun->entry = find_entry(begun->index, step, &begun->why);
    return true;
}

void velo_step_decide(struct velo_step *step, struct velo_begun *begun, bool can_say)
{
    const bool answers = velo_replay_mode() == VELO_REPLAY_ON;
    if (answers && begun->entry != NULL && can_say &&
        velo_restore(begun->index, begun->entry, begun->stamp, &begun->restored) == 0) {
        begun->decision = VELO_STEP_ANSWERED;
        return;
    }
    if (answers)
        begun->entry = NULL;
    record(step, begun);
}

void velo_step_runs(struct velo_begun *begun)
{
    velo_restore_undo(begun->index, begun->entry, &begun->restored);
    begun->decision = VELO_STEP_PLAIN;
}

void velo_step_started(const struct velo_begun *begun, pid_t pid)
{
    if (begun->decision != VELO_STEP_RECORDED)
        velo_running_unseen();
    else if (pid > 0)
        velo_running_started(begun->place, pid);
    else
        velo_running_failed(begun->place);
}
