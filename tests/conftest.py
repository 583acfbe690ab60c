"""What every test gets: a velo of its own, and the proof that nothing of it is left.

In: nothing. Out: an environment in which every VELO_* path is private, `workspace`, which makes
workspaces on disk, and `velo`, which runs the command line. Never: the user's own store, settings
or server; a process, socket or /dev/shm entry that outlives the test that made it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.harness import SCRIPTS, Velo
from support.table import pytest_addoption, pytest_terminal_summary

__all__ = ["pytest_addoption", "pytest_terminal_summary"]

DEFAULT_TOML = '[live]\nmax_memory = "256MB"\naggressive_paths = ["build/"]\n'
# What would let a developer's own shell change the outcome.
NOT_OURS = ("LD_PRELOAD", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "NINJA_STATUS", "MAKEFLAGS")

# A shell makes what it starts in the background ignore these, and so would all that tests start.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    with suppress(ValueError):  # not the main thread
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


ALL = os.environ.get("VELO_MATRIX") == "all"  # CI: nothing may be skipped


# The short selection is the verdict of three minutes on two cores. What kills at each point, asks
# at random, runs under sanitizers or watches a known difference is as much a test, and runs in CI.
LONG_FILES = {
    "test_damage",
    "test_death",
    "test_gap_detector",
    "test_gc",
    "test_hostile",
    "test_limits",
    "test_older_links",
    "test_outsiders",
    "test_ways",
}
LONG_TESTS = (
    "[plain-test_direct",
    "[plain-test_kill",
    "[plain-test_names",
    "[plain-test_outsiders",
    "[plain-test_race",
    "[plain-test_retire",
    "[plain-test_running",
    "[plain-test_random",
    "[asan-",
    "[tsan-",
    "test_random_scripts_",
    "test_hypothesis_",
    "[shm_",
    "[cap-",
    "[lock-",
    "[peer-",
    "[mount-",
    "[sandbox-",
    "[dlsym-",
    "[deepbind-",
    "[huge-sparse",
    "[path-beyond-",
    "[sanitizers-",
    "[nested_names-",
    "[deep_paths-",
    "[loader",
    "_holds_whatever_writes[",
    "_a_larger_build_ends_well",
    "[moved-from-outside",
    "[removed-while-put",
    "many_files_that_are_open_at_once",
    "-poison]",
    # What waits for a clock, or is one of several ways to the same verdict.
    "[plain-test_cycle",
    "_from_a_plain_one[replaced]",
    "_from_a_plain_one[leases]",
    "_from_a_plain_one[cancelled]",
    "_from_a_plain_one[contests]",
    "a_server_that_is_stuck",
    "a_started_server_ends_itself",
    "an_unused_daemon_ends",
    "an_idle_shard_uses_no_cpu",
    "files_rest_for_idle_flush",
    "paused_nothing_is_flushed",
    "an_interrupt_at_any_moment",
    "shards_that_still_start",
    "goes_above_the_cap_alone",
    "names_count_also_those",
    "a_soak_can_be_started",
    "a_reply_fits_to_the_byte",
    "killed_in_an_answer",
    "killed_in_a_freeze",
    "libc_is_read_as_objdump",
    "covered_or_skipped[tools]",
    "of_npm_",
    "otherwise_than_as_text",
    "a_clone_that_is_gone",
    "steps_of_a_clone_stays_forgotten",
    "another_project_with_the_same",
    "that_names_the_first_clone",
    "_the_path_of_its_workspace",
    "_the_path_of_the_workspace",
    "changes_no_other_clone[make]",
    "is_as_native[make]",
    "told_of[percent]",
    "told_of[newline]",
    "told_of[unicode]",
    "told_of[space]",
    "told_of[quotes]",
    "by_the_second[a directory",
    "by_the_second[all of",
    "by_the_second[its",
    "by_the_second[where",
    "were_no_entry[flipped",
)


def _is_long(item: pytest.Item) -> bool:
    """Also what builds real projects: the matrix and the sample."""
    return (
        "matrix" in item.path.parts
        or item.get_closest_marker("sample") is not None
        or item.path.stem in LONG_FILES
        or any(part in item.nodeid for part in LONG_TESTS)
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_long(item):
            item.add_marker(pytest.mark.long)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything must be there, a skip is a failure, and named."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if ALL and reporter else []
    if skipped and not hasattr(session.config, "workerinput"):
        for report in skipped:
            reporter.write_line(f"may not be skipped here: {report.nodeid}: {report.longrepr[-1]}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The private runtime root of this test: made by whoever needs it first, gone in the end."""
    root = Path("/dev/shm", f"velo-test-{secrets.token_hex(4)}")
    for name in [name for name in os.environ if name.startswith("VELO_")]:
        monkeypatch.delenv(name)
    for name in NOT_OURS:
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", os.pathsep.join([os.environ["PATH"], str(SCRIPTS)]))
    monkeypatch.setenv("VELO_RUNTIME_DIR", str(root))
    monkeypatch.setenv("VELO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("VELO_CAS_DIR", str(tmp_path / "cache" / "cas"))
    monkeypatch.setenv("VELO_SHARDS", "2")  # eight interpreters per test are a lot for two cores
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Callable[..., Path]:
    """Makes workspaces: `workspace()` or `workspace("other", toml=...)`, a directory on disk."""

    def make(name: str = "workspace", *, toml: str = DEFAULT_TOML) -> Path:
        directory = tmp_path / name
        directory.mkdir()
        (directory / "velo.toml").write_text(toml)
        return directory

    return make


@pytest.fixture
def velo(isolated: Path) -> Iterator[Velo]:
    """The command line; afterwards every server it started must end and leave nothing."""
    executable = shutil.which("velo", path=str(SCRIPTS))
    assert executable, "velo is not installed beside this python; pip install -e '.[test]'"
    runner = Velo(isolated, executable)
    yield runner
    left = runner.tear_down()
    assert not left, f"left behind: {left}"
