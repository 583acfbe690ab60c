/* trace.c - writing and reading the ring of events.  See trace.h. */
#include "trace.h"

#include <time.h>

#include "kernel/os.h"

static const struct {
    const char *topic, *text;
} events[] = {
#define EVENT(id, topic, text) {#topic, text},
#include "events.def"
#undef EVENT
};

/* A writer that slept while all others came round the ring has mixed its words into another's event;
 * then this is wrong. */
static uint64_t sum_of(uint64_t place, uint32_t id, uint64_t a, uint64_t b)
{
    const uint64_t mix = 0x9e3779b97f4a7c15ull;
    return (((place * mix ^ id) * mix ^ a) * mix ^ b) * mix;
}

static int is_whole(const struct velo_event *event, uint64_t place, struct velo_event_info *out)
{
    if (atomic_load_explicit(&event->mark, memory_order_acquire) != place + 1)
        return 0; /* being written, overwritten already, or its writer died */
    out->ns = __atomic_load_n(&event->ns, __ATOMIC_RELAXED);
    out->pid = __atomic_load_n(&event->pid, __ATOMIC_RELAXED);
    out->id = __atomic_load_n(&event->id, __ATOMIC_RELAXED);
    out->a = __atomic_load_n(&event->a, __ATOMIC_RELAXED);
    out->b = __atomic_load_n(&event->b, __ATOMIC_RELAXED);
    return __atomic_load_n(&event->sum, __ATOMIC_RELAXED) == sum_of(place, out->id, out->a, out->b);
}

void velo_trace_write(struct velo_region *region, enum velo_event_id id, uint64_t a, uint64_t b)
{
    struct velo_header *header = region->header;
    struct timespec now;
    velo_sys2(SYS_clock_gettime, CLOCK_REALTIME, velo_word(&now));
    const uint64_t place = atomic_fetch_add(&header->next_event, 1);
    struct velo_event *event = &header->events[place % VELO_EVENTS_MAX];
    atomic_store(&event->mark, 0); /* seq_cst: before any word of it changes */
    __atomic_store_n(&event->ns, (uint64_t)velo_ns(&now), __ATOMIC_RELAXED);
    __atomic_store_n(&event->pid, (uint32_t)velo_sys0(SYS_getpid), __ATOMIC_RELAXED);
    __atomic_store_n(&event->id, (uint32_t)id, __ATOMIC_RELAXED);
    __atomic_store_n(&event->a, a, __ATOMIC_RELAXED);
    __atomic_store_n(&event->b, b, __ATOMIC_RELAXED);
    __atomic_store_n(&event->sum, sum_of(place, id, a, b), __ATOMIC_RELAXED);
    atomic_store_explicit(&event->mark, place + 1, memory_order_release);
}

uint32_t velo_trace_topics(struct velo_region *region, uint32_t topics)
{
    return atomic_exchange(&region->header->traced, topics & ((1u << VELO_TOPIC_COUNT) - 1));
}

const char *velo_trace_text(uint32_t id, const char **topic)
{
    if (id >= VELO_EVENT_COUNT)
        return NULL;
    *topic = events[id].topic;
    return events[id].text;
}

uint64_t velo_trace_read(struct velo_region *region, uint64_t from, velo_each_event each,
                         void *context)
{
    struct velo_header *header = region->header;
    const uint64_t end = atomic_load_explicit(&header->next_event, memory_order_acquire);
    if (end - from > VELO_EVENTS_MAX || from > end)
        from = end > VELO_EVENTS_MAX ? end - VELO_EVENTS_MAX : 0;
    for (; from < end; from++) {
        struct velo_event_info info;
        if (is_whole(&header->events[from % VELO_EVENTS_MAX], from, &info))
            each(context, &info);
    }
    return end;
}
