/* test_trace.c - the ring of events: off it stays empty, on it keeps the last ones, and two numbers of
 * one event are never taken from two. */
#include "check.h"

#include <pthread.h>

#include "core/arena/trace.h"

#define WRITERS 3
#define EVENTS_EACH 20000u

static uint64_t seen;

static void judge(void *context, const struct velo_event_info *event)
{
    (void)context;
    seen++;
    CHECK_EQ(event->id, VELO_EVENT_SPACE_ASKED);
    CHECK_EQ(event->b, event->a * 3 + 1);
    CHECK(event->pid != 0);
}

static void *write_many(void *first)
{
    for (uint64_t i = 0; i < EVENTS_EACH; i++) {
        const uint64_t number = (uint64_t)(uintptr_t)first + i;
        VELO_TRACE(&bench.region, SPACE_ASKED, number, number * 3 + 1);
    }
    return NULL;
}

static void write_from_threads(void)
{
    pthread_t threads[WRITERS];
    for (uintptr_t i = 0; i < WRITERS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, write_many, (void *)(i * EVENTS_EACH)), 0);
    uint64_t next = 0;
    for (int snapshot = 0; snapshot < 200; snapshot++)
        next = velo_trace_read(&bench.region, next, judge, NULL);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
}

static void what_is_off_is_not_written(void)
{
    velo_trace_topics(&bench.region, 1u << VELO_TOPIC_LOCK);
    write_many(NULL);
    CHECK_EQ(velo_trace_read(&bench.region, 0, judge, NULL), 0);
    CHECK_EQ(seen, 0);
}

static void readers_beside_writers_see_whole_events(void)
{
    velo_trace_topics(&bench.region, 1u << VELO_TOPIC_SPACE);
    write_from_threads();
    seen = 0;
    const uint64_t end = velo_trace_read(&bench.region, 0, judge, NULL);
    CHECK_EQ(end, WRITERS * EVENTS_EACH);
    CHECK(seen > VELO_EVENTS_MAX - WRITERS); /* one that slept may have spoilt a place each */
}

/* A writer that was killed between taking a place and its mark. */
static void an_event_that_is_not_whole_is_passed_over(void)
{
    struct velo_header *header = bench.region.header;
    const uint64_t place = atomic_fetch_add(&header->next_event, 1);
    atomic_store(&header->events[place % VELO_EVENTS_MAX].mark, 0);
    seen = 0;
    CHECK_EQ(velo_trace_read(&bench.region, place, judge, NULL), place + 1);
    CHECK_EQ(seen, 0);
    VELO_TRACE(&bench.region, SPACE_ASKED, 2, 7);
    CHECK_EQ(velo_trace_read(&bench.region, place, judge, NULL), place + 2);
    CHECK_EQ(seen, 1);
}

int main(void)
{
    bench_open();
    RUN(what_is_off_is_not_written);
    RUN(readers_beside_writers_see_whole_events);
    RUN(an_event_that_is_not_whole_is_passed_over);
    velo_trace_topics(&bench.region, 0);
    bench_close();
    return 0;
}
