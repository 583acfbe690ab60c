"""Replay during one `velo exec`, and what is said of it.

The sealer costs 60 ms to import and to make ready. So it is made when there is something for it to
do: at once where the index is not ready for programs, else when the first step was run.

In: settings, an arena's memory. Out: a report, lines. Never: an import of the sealer at the start
of a command that may have no steps.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from velo.shards import deaf
from velo.shards.replay import reports, spool
from velo.shards.replay.kinship import Kin
from velo.shards.replay.ledger import Ledger
from velo.shards.replay.rules import Rules

if TYPE_CHECKING:
    import threading

    from velo.shards.replay.answers import Telling
    from velo.shards.replay.sealer import Sealer

    from .config import Settings

MODE, IGNORE = VARIABLES = ("VELO_REPLAY", "VELO_REPLAY_IGNORE")


class Replay:
    """Steps of one command are recorded and answered, as the settings say."""

    def __init__(self, settings: Settings, memory: str) -> None:
        """Make ready what programs map.

        Raises:
            OSError: it cannot be made; then every step is run.
        """
        self._settings, self._memory = settings, memory
        self._rules = _rules_of(settings)
        self._directory = spool.directory_of(memory)
        self._telling: Telling | None = None
        self._sealer: Sealer | None = None
        self._waking: threading.Thread | None = None
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        made_by = repr((settings.cas_dir, settings.replay, settings.replay_never, self._rules))
        if not spool.is_ready(self._directory, made_by) or self._has_news():
            self._wake()
            spool.set_ready(self._directory, made_by)

    def _has_news(self) -> bool:
        """Has a clone of the workspace learned something that steps may be answered with?"""
        ledger = Ledger(self._settings.cas_dir, self._settings.workspace)
        return bool(Kin(ledger, self._settings.workspace, self._rules).news())

    def poll(self) -> None:
        """Called now and then while the command runs."""
        if self._sealer is not None or self._waking is not None:
            return
        if not spool.has_units(self._directory):
            self._teller().learn()
            return
        import threading

        waking = threading.Thread(target=self._wake_quietly, daemon=True)
        with deaf.starting_threads(), suppress(RuntimeError):  # no more threads: the end does it
            waking.start()
            self._waking = waking

    def _teller(self) -> Telling:
        if self._telling is None:
            from velo.shards.replay.answers import Telling  # 5 ms, while the command runs

            self._telling = Telling(self._directory)
        return self._telling

    def finish(self, command: Sequence[str]) -> dict[str, Any]:
        """Seal what is left; what happened during `command`, as a report.

        Raises:
            OSError, ValueError: what the steps made is not kept.
        """
        with _damage_told(self._directory):
            return self._finish(command)

    def _finish(self, command: Sequence[str]) -> dict[str, Any]:
        if self._waking is not None:
            self._waking.join()
        if self._sealer is None and spool.is_idle(self._directory):
            return self._without_steps(command)
        if self._sealer is None:
            ledger = Ledger(self._settings.cas_dir, self._settings.workspace)
            report = self._teller().tell(ledger, command, self._settings.replay)
            if report is not None:
                return report
        return (self._sealer or self._wake()).finish(command)

    def _without_steps(self, command: Sequence[str]) -> dict[str, Any]:
        report = reports.empty() | reports.head(command, self._settings.replay)
        Ledger(self._settings.cas_dir, self._settings.workspace).add_or_tell(report)
        return report

    def _wake_quietly(self) -> None:
        with suppress(OSError):  # the end tries again, and tells
            self._wake()

    def _wake(self) -> Sealer:
        from velo.shards.replay.sealer import Sealer

        with _damage_told(self._directory):
            sealer = Sealer(
                memory=self._memory,
                workspace=self._settings.workspace,
                store=self._settings.cas_dir,
                mode=self._settings.replay,
                never=self._settings.replay_never,
                max_bytes=self._settings.replay_max_size,
                rules=self._rules,
            )
        sealer.start()
        self._sealer = sealer
        return sealer


@contextmanager
def _damage_told(directory: str) -> Iterator[None]:
    """Offsets that lead out of the index are an error of its file."""
    try:
        yield
    except struct.error:
        index, what = os.path.join(directory, "index"), "damaged; 'velo replay clear' makes another"
        raise OSError(errno.EIO, what, index) from None


def _rules_of(settings: Settings) -> Rules:
    caches = [
        os.path.join(settings.workspace, os.path.expanduser(each))
        for each in settings.replay_cache_dirs
    ]
    return Rules(settings.replay_blind, tuple(map(os.path.realpath, caches)))


def variables_of(settings: Settings) -> dict[str, str]:
    """What programs are told: the mode, and variables that change no result."""
    told = {MODE: settings.replay}
    return told | ({IGNORE: ":".join(settings.replay_ignore)} if settings.replay_ignore else {})


def line_of(report: dict[str, Any]) -> str:
    """What a user reads after a build."""
    steps = report["replayed"] + report["run"] + report["not_cached"]
    text = f"replayed {report['replayed']} of {steps} steps"
    if report["saved_s"] > 0:
        text += f", about {report['saved_s']:.1f} s of work"
    if report["not_cached"]:
        text += f"; {report['not_cached']} cannot be cached ('velo explain' says why)"
    return text
