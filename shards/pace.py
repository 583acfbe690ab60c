"""When a shard works by itself: the clockwork behind the worker's poll, without a clock.

    see(activity, now)  -> active: settle soon; quiet: look ever more rarely
    flush_due(...)      -> nobody inside, or quiet for idle_flush seconds, and not backing off

In: the arena's activity counter and the time. Out: what is due, and how long to sleep. Never: more
than SETTLE_SHARE of one core for all shards together while a build runs, and nothing to do at all
in a server that is idle but one glance every SLEEP_MAX_S. [pure]
"""

from __future__ import annotations

SLEEP_MIN_S = 0.05
SLEEP_MAX_S = 2.0
INSIDE_EVERY_S = 1.0  # looking for live clients walks a table
SETTLE_SHARE = 0.02  # of one core, all shards together
SETTLE_MAX_S = 2.0  # however dear a settle is, charges are refreshed at least so often
BACKOFF_S = (1.0, 60.0)  # after a failed flush: first, last; doubled in between


class Pace:
    """One shard's rhythm. Owned by the worker's thread. Times are monotonic seconds."""

    def __init__(self, *, shards: int, idle_flush_s: float, now: float) -> None:
        self._shards = shards
        self._idle_flush_s = idle_flush_s
        self._activity = -1
        self._changed_at = now
        self._settle_at = now
        self._settled_activity = -1
        self._inside_at = now
        self._flushed_activity = -1
        self._backoff_s = 0.0
        self._flush_at = now
        self._sleep_s = SLEEP_MIN_S

    def see(self, activity: int, now: float) -> None:
        """Take in the activity counter; call it once per wake-up."""
        if activity != self._activity:
            self._activity = activity
            self._changed_at = now
            self._sleep_s = SLEEP_MIN_S
        else:
            self._sleep_s = min(self._sleep_s * 2, SLEEP_MAX_S)

    def settle_due(self, now: float) -> bool:
        """Something changed since the last settle, and the share of the core allows another."""
        return self._activity != self._settled_activity and now >= self._settle_at

    def settled(self, activity: int, cost_s: float, now: float) -> None:
        """A settle took `cost_s`; `activity` was read after it, for it may have caused some."""
        self._settled_activity = activity
        pause_s = cost_s * self._shards / SETTLE_SHARE
        self._settle_at = now + min(max(pause_s, SLEEP_MIN_S), SETTLE_MAX_S)

    def wants_flush(self, now: float) -> bool:
        """Something changed since the last flush, and no failure asks to wait."""
        return self._activity != self._flushed_activity and now >= self._flush_at

    def is_quiet(self, now: float) -> bool:
        """Nothing changed for idle_flush seconds."""
        return now - self._changed_at >= self._idle_flush_s

    def inside_due(self, now: float) -> bool:
        """Time to look whether the last client left; at most every INSIDE_EVERY_S."""
        if now - self._inside_at < INSIDE_EVERY_S:
            return False
        self._inside_at = now
        return True

    def flushed(self, activity: int) -> None:
        """A flush ended well; `activity` was read before it began."""
        self._flushed_activity = activity
        self._backoff_s = 0.0

    def flush_failed(self, now: float) -> None:
        """A flush failed: wait longer each time."""
        first_s, last_s = BACKOFF_S
        self._backoff_s = min(max(2 * self._backoff_s, first_s), last_s)
        self._flush_at = now + self._backoff_s

    def sleep_s(self, now: float) -> float:
        """How long the worker may wait for messages before the next look."""
        sleep_s = self._sleep_s
        if self._activity != self._flushed_activity:
            sleep_s = min(sleep_s, INSIDE_EVERY_S)
        return sleep_s
