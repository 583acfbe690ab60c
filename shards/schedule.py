"""When a shard works by itself: the clockwork behind the worker's poll, without a clock.

    see(activity, now)   -> active: refresh soon; quiet: probe ever more rarely
    probe_due(now)       -> time to see whether the last client left
    used(latest_s, now)  -> no client used the files for idle_flush seconds: flush

The activity counter counts what shards change, too, so it says when to look, and never that no
client is there: the access ticks of the files tell that, which only clients raise.

In: the arena's activity counter and the time. Out: what is due, and how long to sleep. Never: more
than REFRESH_SHARE of one core for all shards together while a build runs; in an idle server, more
than one glance every SLEEP_MAX_S. [pure]
"""

from __future__ import annotations

SLEEP_MIN_S = 0.2  # while programs work; measured: 8 shards then take 1 % of a core, at 0.05 s 4 %
SLEEP_PRESSED_S = 0.05  # the same, when memory is nearly full and charges matter
SLEEP_MAX_S = 2.0
PROBE_EVERY_S = 1.0  # looking for live clients walks tables
REFRESH_SHARE = 0.02  # of one core, all shards together
REFRESH_MAX_S = 2.0  # however dear a refresh is, charges are refreshed at least so often
EVICT_PAUSE_S = 2.0  # when nothing could leave, try again at least so often
BACKOFF_S = (1.0, 60.0)  # after a failed flush: first, last; doubled in between


class Schedule:
    """One shard's rhythm. Owned by the worker's thread. Times are monotonic seconds."""

    def __init__(self, *, shards: int, idle_flush_s: float, now: float) -> None:
        self._shards = shards
        self._idle_flush_s = idle_flush_s
        self._activity = -1
        self._refresh_at = now
        self._refreshed_activity = -1
        self._tether_at = now
        self._tethered_activity = -1
        self._probed_at = now
        self._used_at = now
        self._flushed_activity = -1
        self._backoff_s = 0.0
        self._flush_at = now
        self._sleep_s = SLEEP_MIN_S
        self._evict_pause_s = 0.0
        self._evict_at = now

    def see(self, activity: int, *, pressed: bool = False) -> None:
        """Take in the activity counter; `pressed`: memory is nearly full. Once per wake-up."""
        if activity != self._activity:
            self._activity = activity
            self._sleep_s = SLEEP_PRESSED_S if pressed else SLEEP_MIN_S
        else:
            self._sleep_s = min(self._sleep_s * 2, SLEEP_MAX_S)

    def refresh_due(self, now: float) -> bool:
        """Something changed since the last refresh, and the share of the core allows another."""
        return self._activity != self._refreshed_activity and now >= self._refresh_at

    def refreshed(self, activity: int, cost_s: float, now: float) -> None:
        """A refresh took `cost_s`; `activity` was read after it, for it may have caused some."""
        self._refreshed_activity = activity
        pause_s = cost_s * self._shards / REFRESH_SHARE
        self._refresh_at = now + min(max(pause_s, SLEEP_PRESSED_S), REFRESH_MAX_S)

    def tether_due(self, now: float) -> bool:
        """Something changed since directories were tethered, and the share allows another time."""
        return self._activity != self._tethered_activity and now >= self._tether_at

    def tethered(self, cost_s: float, now: float) -> None:
        """Tethers were taken and left, which took `cost_s`."""
        self._tethered_activity = self._activity
        self._tether_at = now + min(cost_s / REFRESH_SHARE, REFRESH_MAX_S)

    def evict_due(self, now: float) -> bool:
        """Eviction unasked may be tried (again)."""
        return now >= self._evict_at

    def evicted(self, useful: bool, now: float) -> None:
        """One try ended; a useless one (all is open) makes the next ones ever more rare."""
        self._evict_pause_s = 0.0 if useful else min(2 * self._evict_pause_s + 0.1, EVICT_PAUSE_S)
        self._evict_at = now + self._evict_pause_s

    def probe_due(self, now: float) -> bool:
        """Something changed since the last flush: look for clients, at most every PROBE_EVERY_S."""
        if self._activity == self._flushed_activity or now < self._flush_at:
            return False
        if now - self._probed_at < PROBE_EVERY_S:
            return False
        self._probed_at = now
        return True

    def may_be_quiet(self, now: float) -> bool:
        """The files known to be used last were so idle_flush seconds ago: worth a new look."""
        return now >= self._used_at + self._idle_flush_s

    def used(self, latest_s: float, now: float) -> bool:
        """A file was last used at `latest_s`; True when that is idle_flush seconds ago."""
        self._used_at = max(self._used_at, latest_s)
        return self.may_be_quiet(now)

    def flushed(self, activity: int) -> None:
        """A flush ended well; `activity` was read before it began."""
        self._flushed_activity = activity
        self._backoff_s = 0.0

    def flush_failed(self, now: float) -> None:
        """A flush failed: wait longer each time."""
        first_s, last_s = BACKOFF_S
        self._backoff_s = min(max(2 * self._backoff_s, first_s), last_s)
        self._flush_at = now + self._backoff_s

    def sleep_s(self) -> float:
        """How long the worker may wait for messages before the next look."""
        if self._activity == self._flushed_activity:
            return self._sleep_s
        return min(self._sleep_s, PROBE_EVERY_S)
