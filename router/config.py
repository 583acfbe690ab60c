"""What the user asked for, from five places, the most deliberate first.

    flag  >  VELO_* variable  >  velo.toml of the workspace  >  ~/.config/velo/velo.toml  >  default

A setting that concerns more than the workspace (`cas_dir`, the store's `max_size`) counts only from
the user's own places, not from the workspace's velo.toml. That file counts only when the user wrote
it or trusts it (trust.py).

In: those places. Out: one frozen `Settings`, whose every value is checked and in base units.
Never: a key that is silently ignored, or a value that is guessed. An unknown key is an error that
names the nearest known one. tomllib is imported only when a file is there to be read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, NamedTuple

from . import trust, values
from .errors import BadConfiguration, NotTrusted, NoWorkspace
from .units import parse_duration, parse_size

FILE_NAME = "velo.toml"
NO_HOME = "/dev/null"  # as HOME; nothing can be made below it
COMMAND_LINE = "command line"  # an origin
TABLE = "live"
REPLAY_TABLE, EXEC_TABLE, STORE_TABLE = "replay", "exec", "store"
TABLES = (TABLE, REPLAY_TABLE, EXEC_TABLE, STORE_TABLE)
TRUST_TABLE, TRUST_KEY = "trust", "workspaces"  # in the user's own file only


class Setting(NamedTuple):
    """One key: how it is written, what it becomes, and its value when it is not set."""

    name: str
    parse: Callable[[Any], Any]
    default: Any
    help: str
    hidden: bool = False  # for tests: not in the help, not in a new velo.toml
    outward: bool = False  # leads out of the workspace, whose velo.toml may not say it
    table: str = TABLE  # of velo.toml
    key: str = ""  # there, when it is not the name

    @property
    def title(self) -> str:
        """What users call it: the key, and with its table when that is not [live]."""
        key = self.key or self.name
        return key if self.table == TABLE else f"{self.table}.{key}"

    @property
    def variable(self) -> str:
        """The environment variable of this key."""
        return "VELO_" + self.name.upper()


class Settings(NamedTuple):
    """Every setting of one workspace, checked. Sizes in bytes, durations in seconds.

    A tuple, not a dataclass: importing `dataclasses` costs each `velo exec` 8 ms.
    """

    workspace: str  # physical absolute path, no trailing slash
    alias: str | None  # another spelling of it, from $PWD
    max_memory: int
    aggressive_paths: tuple[str, ...]
    shards: int
    idle_flush: float
    idle_exit: float
    grace: float
    cas_dir: str
    poison: bool
    replay: str  # one of values.REPLAY_MODES
    replay_never: tuple[str, ...]
    replay_max_size: int
    replay_blind: tuple[str, ...]
    replay_cache_dirs: tuple[str, ...]
    replay_ignore: tuple[str, ...]
    summary: bool | None  # None: on a terminal
    store_max_size: int = 10 << 30
    origins: Mapping[str, str] = MappingProxyType({})  # setting: the place that decided it


def default_cache_dir() -> str:
    """Where the store and the manifests live: `$VELO_CACHE_DIR`, `$XDG_CACHE_HOME/velo`."""
    chosen = os.environ.get("VELO_CACHE_DIR")
    if chosen:
        return os.path.abspath(os.path.expanduser(chosen))
    home = os.path.join(_xdg("XDG_CACHE_HOME", "~/.cache"), "velo")
    return home if _can_hold(home) else _without_home(home)


def _can_hold(path: str) -> bool:
    """Might `path` be made? A home directory may be missing, a file, /dev/null or below /proc."""
    while not os.path.lexists(path) and path != "/":
        path = os.path.dirname(path)
    try:
        return (
            os.path.isdir(path)
            and os.access(path, os.W_OK | os.X_OK)
            and os.statvfs(path).f_blocks > 0
        )
    except OSError:
        return False


def _without_home(home: str) -> str:
    """A cache for a user without a home: below /var/tmp, unless another user may have made it."""
    place = f"/var/tmp/velo-{os.getuid()}"
    try:
        with suppress(FileExistsError):
            os.mkdir(place, 0o700)
        found = os.lstat(place)
    except OSError:
        return home
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return place if ours and not found.st_mode & 0o077 else home


def user_file() -> str:
    """The settings file that holds for all workspaces of a user."""
    return os.path.join(_xdg("XDG_CONFIG_HOME", "~/.config"), "velo", FILE_NAME)


def find_workspace(start: str | None = None) -> str:
    """The physical directory with the nearest velo.toml upward from `start`, else `start` itself.

    Args:
        start: a directory; the current one when None.

    Raises:
        NoWorkspace: there is no such directory.
    """
    try:
        origin = os.path.realpath(start or os.getcwd(), strict=True)
    except OSError as error:
        raise NoWorkspace(
            f"no workspace: {start or 'the current directory'}: {error.strerror}; cd somewhere else"
        ) from None
    directory = origin
    while True:
        if os.path.isfile(os.path.join(directory, FILE_NAME)):
            return directory
        if directory == "/":
            return origin
        directory = os.path.dirname(directory)


def alias_of(workspace: str) -> str | None:
    """`workspace` as $PWD spells it when that goes through a symlink, else None.

    Programs print and reopen paths built from $PWD, so the core hosts both spellings.
    """
    spelled = os.environ.get("PWD", "")
    if not spelled.startswith("/"):
        return None
    while spelled != "/":
        if os.path.realpath(spelled) == workspace:
            return spelled if spelled != workspace else None
        spelled = os.path.dirname(spelled)
    return None


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    start: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of the workspace around `start` (the current directory).

    Args:
        flags: what the command line gave, None for what it did not.
        start: where to begin looking for velo.toml.
        environment: instead of `os.environ`.

    Raises:
        BadConfiguration: names the place, the key, the value and what was expected.
        NotTrusted: a file that is there is another user's, or others may write it.
    """
    environment = os.environ if environment is None else environment
    workspace = find_workspace(start)
    layers: list[tuple[str, Mapping[str, Any]]] = [
        (COMMAND_LINE, {key: value for key, value in (flags or {}).items() if value is not None}),
        ("environment", _from_environment(environment)),
    ]
    own = user_file()
    users = _document(own, environment, workspace=None, trusted=())
    trusted = [*trust.from_environment(environment), *_trusted(users, own)]
    path = os.path.join(workspace, FILE_NAME)
    if path != own:
        document = _document(path, environment, workspace=workspace, trusted=trusted)
        layers.append((path, _values(document, path, tables=TABLES, outward=False)))
    layers.append((own, _values(users, own, tables=(*TABLES, TRUST_TABLE), outward=True)))
    chosen, origins = {}, {}
    for setting in SETTINGS:
        chosen[setting.name], origins[setting.name] = _choose(setting, layers)
    return Settings(workspace=workspace, alias=alias_of(workspace), origins=origins, **chosen)


def _choose(setting: Setting, layers: list[tuple[str, Mapping[str, Any]]]) -> tuple[Any, str]:
    for origin, layer in layers:
        if setting.name in layer:
            try:
                return setting.parse(layer[setting.name]), origin
            except ValueError as error:
                raise BadConfiguration(f"bad setting: {origin}: {setting.title}: {error}") from None
    return setting.parse(setting.default), "default"


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for setting in SETTINGS:
        text = environment.get(setting.variable)
        if text:
            found[setting.name] = text
    return found


def _document(
    path: str, environment: Mapping[str, str], *, workspace: str | None, trusted: Sequence[str]
) -> Mapping[str, Any]:
    """What the file at `path` says, {} when there is none. `workspace`: it may be trusted by name.

    Raises:
        NotTrusted: before a byte of it was read.
    """
    try:
        with trust.opened(path) as file:
            reason = trust.why_not(path, file.fileno(), environment)
            if reason and not (workspace and trust.named(workspace, trusted)):
                raise NotTrusted(path=path, reason=reason, workspace=workspace, own=user_file())
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise BadConfiguration(f"unreadable settings: {path}: {error.strerror}") from None
    import tomllib

    try:
        return tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, beyond what Python parses
        raise BadConfiguration(f"bad settings: {path}: {error}") from None


def _values(
    document: Mapping[str, Any], path: str, *, tables: Sequence[str], outward: bool
) -> Mapping[str, Any]:
    """What a file says, by the settings' names."""
    names = [each.key or each.name for each in SETTINGS]
    for key, value in document.items():
        if isinstance(value, dict):
            _known(key, tables, where=path, what="table")
        else:
            _known(key, tables, where=path, what="key outside of tables", near=names)
    found = {}
    for name in TABLES:
        keys = {each.key or each.name: each for each in SETTINGS if each.table == name}
        for key, value in _table(document, path, name=name, keys=list(keys)).items():
            found[keys[key].name] = value
    for setting in SETTINGS:
        if setting.outward and not outward and setting.name in found:
            raise BadConfiguration(
                f"bad setting: {path}: {setting.name} leads out of the workspace and counts only in"
                f" {user_file()}, as {setting.variable}, or as a flag; remove it here"
            )
    return found


def _table(
    document: Mapping[str, Any], path: str, *, name: str, keys: list[str]
) -> Mapping[str, Any]:
    """One table of a file, {} when it is not there."""
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise BadConfiguration(f"bad settings: {path}: {name} must be a table: [{name}]")
    for key in table:
        _known(key, keys, where=f"{path} [{name}]", what="key")
    return table


def _trusted(document: Mapping[str, Any], path: str) -> list[str]:
    """The workspaces that the user's own file trusts."""
    table = document.get(TRUST_TABLE, {})
    if not isinstance(table, dict):
        raise BadConfiguration(f"bad settings: {path}: {TRUST_TABLE} must be a table")
    for key in table:
        _known(key, [TRUST_KEY], where=f"{path} [{TRUST_TABLE}]", what="key")
    listed = table.get(TRUST_KEY, [])
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise BadConfiguration(
            f"bad setting: {path}: {TRUST_KEY}: {listed!r} is not a list of directories"
        )
    return listed


def _known(
    key: str, known: Sequence[str], *, where: str, what: str, near: Sequence[str] = ()
) -> None:
    if key in known:
        return
    if key == TRUST_TABLE:
        raise BadConfiguration(f"unknown {what}: {where}: [{key}] counts only in {user_file()}")
    homes = sorted({f"[{each.table}]" for each in SETTINGS if key == (each.key or each.name)})
    if homes:
        raise BadConfiguration(f"unknown {what}: {where}: {key!r} is of {' or '.join(homes)}")
    import difflib

    nearest = difflib.get_close_matches(key, near or known, n=1)
    remedy = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(known)}"
    raise BadConfiguration(f"unknown {what}: {where}: {key!r}; {remedy}")


def _xdg(variable: str, default: str) -> str:
    chosen = os.environ.get(variable, "")
    path = chosen if chosen.startswith("/") else os.path.expanduser(default)
    return path if path.startswith("/") else os.path.join(NO_HOME, default)  # $HOME is relative


SETTINGS = (
    Setting("max_memory", values.memory, "8GiB", "Hard cap on the memory that hosted files take."),
    Setting(
        "aggressive_paths",
        values.patterns,
        ("target/", "node_modules/", "build/"),
        "Directories hosted in memory: `name/` at any depth, `/name/` and `a/b/` from the root.",
    ),
    Setting("shards", values.shards, 8, "Processes that own the memory, each an equal slice."),
    Setting("idle_flush", parse_duration, "30s", "Quiet time before changed files are flushed."),
    Setting("idle_exit", parse_duration, "30min", "Unused time after which a started server ends."),
    Setting("grace", parse_duration, "5s", "How long a program waits for a server that is gone."),
    Setting(
        "cas_dir",
        values.directory,
        os.environ.get("VELO_CAS_DIR") or os.path.join(default_cache_dir(), "cas"),
        "The content-addressed store, shared by all workspaces.",
        outward=True,
    ),
    Setting(
        "store_max_size",
        parse_size,
        "10GiB",
        "Cap on the store: above it, the least recently used files are removed.",
        outward=True,
        table=STORE_TABLE,
        key="max_size",
    ),
    Setting(
        "poison",
        values.switch,
        False,
        "For tests: a file that is not on disk yet fails there for a call that slips past velo.",
        hidden=True,
    ),
    Setting(
        "replay",
        values.replay_mode,
        "on",
        "What happens to build steps: `off`; `record` them; `on`: answer those whose inputs did"
        " not change; `verify`: run all and compare.",
        table=REPLAY_TABLE,
        key="mode",
    ),
    Setting(
        "replay_never",
        values.programs,
        (),
        "Programs whose steps are always run: names, `*` stands for anything.",
        table=REPLAY_TABLE,
        key="never",
    ),
    Setting(
        "replay_max_size",
        parse_size,
        "4GiB",
        "Cap on what is kept of this workspace's steps: above it, the least recently used go.",
        table=REPLAY_TABLE,
        key="max_size",
    ),
    Setting(
        "replay_blind",
        values.programs,
        (),
        "Programs into whose outputs no time of day and no time of a file goes: names, as above.",
        table=REPLAY_TABLE,
        key="blind",
    ),
    Setting(
        "replay_cache_dirs",
        values.directories,
        (),
        "Directories in which programs cache for themselves, and that change no result.",
        table=REPLAY_TABLE,
        key="cache_dirs",
    ),
    Setting(
        "replay_ignore",
        values.variables,
        (),
        "Variables that change no result: names, a `*` at the end stands for anything.",
        table=REPLAY_TABLE,
        key="ignore",
    ),
    Setting(
        "summary",
        values.summary,
        values.ON_A_TERMINAL,
        "The line on stderr at the end of a build that replays: true, false, or on a terminal.",
        table=EXEC_TABLE,
    ),
)

LISTS = ("aggressive_paths", "replay_never", "replay_blind", "replay_cache_dirs", "replay_ignore")
assert {setting.name for setting in SETTINGS} < set(Settings._fields)
