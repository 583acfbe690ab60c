/* trace.h - why something happened: a ring of events in the arena, for `velo trace`.
 *
 * In    an event (events.def) and two numbers, from any process, in any state
 * Out   the last VELO_EVENTS_MAX events, for each process that maps the arena
 * Never a string, a lock or a system call that is not a clock; while its topic is off, an event costs
 *       one relaxed load
 *
 * A writer takes a place by one atomic addition and marks it whole at the end; a reader believes a
 * place that has its mark and the right sum.  A writer that is killed in between leaves a place that
 * no reader believes. */
#ifndef VELO_CORE_TRACE_H
#define VELO_CORE_TRACE_H

#include "layout.h"

enum velo_topic {
    VELO_TOPIC_OPAQUE,
    VELO_TOPIC_DISK,
    VELO_TOPIC_LOCK,
    VELO_TOPIC_SPACE,
    VELO_TOPIC_SUD,
    VELO_TOPIC_COUNT
};

enum velo_event_id {
#define EVENT(id, topic, text) VELO_EVENT_##id,
#include "events.def"
#undef EVENT
    VELO_EVENT_COUNT
};

/* Bits of header.traced, by event. */
enum {
#define EVENT(id, topic, text) VELO_TRACED_##id = 1 << VELO_TOPIC_##topic,
#include "events.def"
#undef EVENT
};

void velo_trace_write(struct velo_region *region, enum velo_event_id id, uint64_t a, uint64_t b);

#define VELO_TRACE(region, id, a, b)                                                               \
    do {                                                                                           \
        if (__builtin_expect(                                                                      \
                (atomic_load_explicit(&(region)->header->traced, memory_order_relaxed) &           \
                 VELO_TRACED_##id) != 0,                                                           \
                0))                                                                                \
            velo_trace_write(region, VELO_EVENT_##id, (uint64_t)(a), (uint64_t)(b));               \
    } while (0)

#endif
