"""`velo exec`, step by step.

    look up the command -> a server (ours or a new one) -> be counted -> take in outside changes
    -> run -> (a server died meanwhile: another one) -> everything on disk -> end as it ended

In: settings, a command. Out: its exit status, after the tree is on disk. Never: print anything
but problems, and those on stderr in one line each; import zmq, sqlite, or lz4 unless an outside
change has to be kept.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from velo.interpose import launch
from velo.interpose.core import Region
from velo.shards import deaf
from velo.shards.errors import BytesLost, VeloError
from velo.shards.wire import NAME_BYTES_MAX, PID, SHARD_AND_NUMBER

from . import child, client, config, hosting, inherited, limits, replaying, topics
from .arena import Arena
from .config import Settings
from .errors import (
    EXIT_EXEC_FAILURE,
    ArenaRefused,
    BadConfiguration,
    CommandRefused,
    FlushNotEnded,
    Leaving,
    NoWorkspace,
    ServerNotRunning,
    ServerSilent,
    SettingsDiffer,
    ShardStopped,
)
from .sessions import NobodyHome, Session, start_time

if TYPE_CHECKING:
    from .replaying import Replay

ENTER_TRIES = 50
STAND_IN = ("env", "--")
BARRIER_MS = 610_000  # a little more than the router gives its shards
BARRIER_TRIES = 12  # two hours of a disk that is slow but moves
FLUSH_MS = 600_000
STOPPED_FLUSH_MS = 30_000  # the stopped process may hold the lock
ETIMEDOUT = 110


def execute_here(
    command: Sequence[str],
    *,
    wait: bool,
    quiet: bool = False,
    require: bool = False,
    start: str | None = None,
    **flags: Any,
) -> int:
    """Run `command` in the workspace around `start`; the exit status, or death by its signal.

    Args:
        wait: return only when the tree is on disk.
        quiet: say nothing about a command that hosted nothing, or ran natively.
        require: where no arena can be had, fail instead of running natively.
        flags: settings as the command line gave them.
    """
    try:
        try:
            settings = config.load(flags, start=start)
        except NoWorkspace as error:  # the directory in which we stand was removed, say
            if require or start is not None:
                raise
            _become(command, error, quiet=quiet)
        if os.environ.get(launch.DISABLE) == "1":
            child.replace(command, os.environ)
        child.find_program(command[0], os.environ)
        run = _Run(settings, quiet=quiet)
        try:
            with limits.lifted():
                run.enter()
        except (VeloError, OSError) as error:
            if require or not run.may_stay_outside(error, command[0]):
                raise
            _become(command, error, quiet=quiet)
        try:
            return run.execute(command, wait=wait)
        except CommandRefused as error:  # it did not run yet
            if not error.limit or require or not run.may_stay_outside(error, command[0]):
                raise
            _become(command, error, quiet=quiet)
    except CommandRefused as error:
        say(str(error))
        return error.exit_status
    except VeloError as error:
        say(str(error))
        return EXIT_EXEC_FAILURE
    except OSError as error:
        say(f"{error.filename or 'system'}: {error.strerror}")
        return EXIT_EXEC_FAILURE


def _become(command: Sequence[str], error: Exception, *, quiet: bool) -> NoReturn:
    """Natively, in this process."""
    if not quiet:
        say(f"{error}; {os.path.basename(command[0])} runs natively, nothing is hosted")
    child.replace(command, os.environ)


def _must_be_heard(error: Exception, settings: Settings) -> bool:
    """Would the plain command be wrong? It would where memory holds what the disk does not, and
    where the user asked for something that cannot be."""
    if isinstance(error, (BadConfiguration, SettingsDiffer)):
        return True
    try:
        return os.path.exists(Arena.of(settings.workspace).meta)
    except VeloError:
        return False


def say(text: str) -> None:
    """One line on stderr; a closed stderr is no error."""
    with suppress(OSError):
        print(f"velo: {text}", file=sys.stderr, flush=True)


class _Run:
    """One `velo exec`. Between `_enter` and the end, the server counts us as inside."""

    def __init__(self, settings: Settings, *, quiet: bool = False) -> None:
        self._settings = settings
        self._quiet = quiet
        self._before: hosting.Before
        self._served: client.Served
        self._session: Session
        self._region: Region
        self._replay: Replay | None = None

    def execute(self, command: Sequence[str], *, wait: bool) -> int:
        try:
            self._take_in_changes()
            for fd, pid in inherited.peers():
                self._region.meets(fd, pid)
            if inherited.fifos_stand_in(self._settings.workspace):
                self._region.heed_fifos()
            self._before = hosting.examine(self._region)
            asked, program = command, child.find_program(command[0], os.environ)
            if not launch.is_entered(program):
                # A program that is entered judges it, puts the tree on disk and becomes it.
                program = child.find_program(STAND_IN[0], os.environ)
                command = [*STAND_IN, *command]
            environment = launch.environment(
                self._served.arena.memory,
                grace_ms=int(self._settings.grace * 1000),
                program=program,
            )
            self._replay = self._start_replay(environment)
            status = child.run(command, environment, on_poll=self._on_poll)
            with limits.lifted():
                flushing = _Aside(self._flush if wait else self._tether)
                if self._replay is not None:
                    self._finish_replay(self._replay, asked)
                flushed = flushing.result()
            if not self._quiet:
                self._say_if_nothing_was_hosted()
        finally:
            self._session.leave()
        code = child.end_like(status)
        return code if flushed or code else EXIT_EXEC_FAILURE

    def _start_replay(self, environment: dict[str, str]) -> Replay | None:
        """Steps are recorded and answered, unless that is not wanted."""
        mode = self._settings.replay
        for name in replaying.VARIABLES:
            environment.pop(name, None)
        if mode == "off":
            return None
        try:
            replay = replaying.Replay(self._settings, self._served.arena.memory)
        except OSError as error:
            say(f"{error.filename or 'replay'}: {error.strerror}; every step is run")
            return None
        environment |= replaying.variables_of(self._settings)
        return replay

    def _finish_replay(self, replay: Replay, command: Sequence[str]) -> None:
        """A cache that failed is told, and is no failure of the command."""
        try:
            report = replay.finish(command)
        except (OSError, ValueError) as error:
            say(f"replay: {error}; what this build's steps made is not kept")
            return
        for step in report["differing"]:
            say(f"made something else than its entry says, which is dropped: {step}")
        steps = report["replayed"] + report["run"] + report["not_cached"]
        if steps and "lost" in report:
            say(
                f"replay: {report['lost']}; what this command's steps made is known until the"
                " server ends, and 'velo explain' may not tell of them"
            )
        wanted = self._settings.summary
        if steps and not self._quiet and (sys.stderr.isatty() if wanted is None else wanted):
            say(replaying.line_of(report))

    def enter(self) -> None:
        """Have a server, and be counted by it."""
        for _ in range(ENTER_TRIES):
            served = client.ensure(self._settings, say=say)
            session = Session(served.arena, os.getpid())
            try:
                session.enter()
                region = Region.attach(served.arena.directory)
            except NobodyHome:
                time.sleep(client.POLL_S)
                continue
            except FileNotFoundError:
                session.leave()
                self._end_without_memory(served)
                continue
            except OSError as error:
                session.leave()
                self._served = served
                raise ArenaRefused(
                    path=served.arena.directory,
                    reason=error.strerror or str(error),
                    limit=limits.behind(error.errno),
                ) from None
            self._served, self._session, self._region = served, session, region
            if os.environ.get(topics.TRACE):
                region.trace(topics.topics_of(os.environ[topics.TRACE]))
            return
        raise Leaving

    def _end_without_memory(self, served: client.Served) -> None:
        """The memory was removed, and its server lives: it names what was lost, and ends."""
        try:
            client.stop(served.arena, timeout_s=client.START_S, pid=served.pid)
        except client.Refused as error:
            if error.code == BytesLost.code:
                say(str(error))
            elif error.code != Leaving.code:
                raise ArenaRefused(path=served.arena.memory, reason=str(error)) from None
        except ServerNotRunning:
            pass

    def may_stay_outside(self, error: Exception, program: str) -> bool:
        """May the command run natively, now that `error` keeps us out?

        Where it is a limit of ours alone: as a program that cannot be entered, on the disk's tree,
        which the server brings up to date. It watches our end then.
        """
        if not getattr(error, "limit", ""):
            return not _must_be_heard(error, self._settings)
        name = os.fsencode(os.path.basename(program))[:NAME_BYTES_MAX]
        payload = PID.pack(os.getpid()) + name
        with suppress(VeloError):
            client.ask(self._served.arena, "OPAQUE", [payload], timeout_ms=BARRIER_MS)
            return True
        return False

    def _say_if_nothing_was_hosted(self) -> None:
        with suppress(OSError):
            text = hosting.nothing(self._region, self._before, self._settings)
            if text:
                say(text)

    def _take_in_changes(self) -> None:
        kept: list[tuple[str, str]] = []
        self._region.reconcile(lambda path: kept.append((path, self._keep(path))))
        for path, where in kept:
            say(f"{path} changed outside while velo had a newer version; kept ours, {where}")

    def _keep(self, path: str) -> str:
        """Put the outside version into the store; where it is, for the user."""
        from pathlib import Path

        from velo.shards import roots
        from velo.shards.cas import NotStored, Store

        try:
            with open(path, "rb") as file:
                store = Store(Path(self._settings.cas_dir))
                try:
                    digest = store.put(file.fileno())
                    roots.keep(store.directory, digest)
                    return f"the other one is {store.find(digest)}"
                finally:
                    store.close()
        except (OSError, VeloError, NotStored) as error:
            return f"the other one could not be stored ({error})"

    def _on_poll(self) -> None:
        """While the command runs steps are sealed, and there is a server."""
        if self._replay is not None:
            with suppress(OSError, RuntimeError):  # of a thread that could not be started
                self._replay.poll()
        self._keep_a_server()

    def _keep_a_server(self) -> None:
        """Memory may have to be freed."""
        if start_time(self._served.pid) is None:
            with suppress(VeloError):
                self._served = client.ensure(self._settings, say=say)

    def _flush(self) -> bool:
        """Everything on disk; False, and said so, when it is not."""
        try:
            return self._barrier()
        except VeloError as error:
            if error.code == ShardStopped.code or isinstance(error, ServerSilent):
                return self._flush_without(error)
            if isinstance(error, client.Refused) and error.code != Leaving.code:
                say(str(error))
                return False
        return self._flush_all()

    def _flush_without(self, stopped: VeloError) -> bool:
        """The process that should do it stands still: do it here, unless that one has the lock."""
        result = self._region.flush(timeout_ms=STOPPED_FLUSH_MS)
        done = result is not None and not result.failed
        if not (done and self._quiet):
            say(f"{'everything is on disk, but' if done else 'not on disk yet:'} {stopped}")
        return done

    def _tether(self) -> bool:
        """The user does not wait for the tree: files put later go where their directory is then."""
        with suppress(VeloError):
            client.ask(self._served.arena, "TETHER", [SHARD_AND_NUMBER.pack(0, 1)])
        return True

    def _barrier(self) -> bool:
        for _ in range(BARRIER_TRIES):
            try:
                client.ask(self._served.arena, "BARRIER", timeout_ms=BARRIER_MS)
                return True
            except client.ServerNotRunning:
                self._served = client.ensure(self._settings, say=say)
            except ServerSilent as error:
                if error.stopped:
                    raise
                self._keep_a_server()
            except client.Refused as error:
                if error.code != ETIMEDOUT:
                    raise
        raise FlushNotEnded(path=self._served.arena.directory, reason="the disk is too slow")

    def _flush_all(self) -> bool:
        """No server is to be had: do its work here. The core is the same."""
        for _ in range(BARRIER_TRIES):
            result = self._region.flush(timeout_ms=FLUSH_MS)
            if result is None:
                continue
            if result.failed:
                reason = f"{result.failed} files: {os.strerror(result.first_error)}"
                say(str(FlushNotEnded(path=self._served.arena.directory, reason=reason)))
            return not result.failed
        say(str(FlushNotEnded(path=self._served.arena.directory, reason="others are at it")))
        return False


class _Aside:
    """Work on a thread of its own: what else is to be done is done meanwhile, and Ctrl-C ends the
    waiting and not the work.

    The core's waits do not return for a signal; a lock's do.
    """

    def __init__(self, work: Callable[[], bool]) -> None:
        """Begin with `work`, which says whether it is done."""
        self._work = work
        self._is_done = False
        self._ended = _thread.allocate_lock()
        self._ended.acquire()
        with deaf.starting_threads():
            try:
                _thread.start_new_thread(self._body, ())
            except RuntimeError:  # no more threads for us
                self._body()

    def _body(self) -> None:
        try:
            self._is_done = self._work()
        finally:
            self._ended.release()

    def result(self) -> bool:
        """What it says when it has ended; False: it failed."""
        try:
            self._ended.acquire()
        except KeyboardInterrupt:
            say("interrupted: files are still being put on disk; 'velo sync' waits for them")
            child.end_like(signal.SIGINT)
        return self._is_done
