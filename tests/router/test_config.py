"""Settings: five places, one winner, and no key that is silently ignored."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
from pathlib import Path

import pytest

from velo.router import config
from velo.router.commands.init import content
from velo.router.errors import BadConfiguration, NotTrusted
from velo.router.units import format_duration, format_size, parse_duration, parse_size


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An empty workspace, and a home directory without settings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    root = tmp_path / "workspace"
    root.mkdir()
    monkeypatch.chdir(root)
    for setting in config.SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    return root


def write(path, text):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def refusal(**arguments):
    with pytest.raises(BadConfiguration) as caught:
        config.load(**arguments)
    return str(caught.value)


def test_nobody_says_anything_and_the_defaults_hold(workspace):
    settings = config.load(environment={})

    assert settings.workspace == os.path.realpath(workspace)
    assert settings.max_memory == 8 << 30
    assert settings.aggressive_paths == ("target/", "node_modules/", "build/")
    assert (settings.shards, settings.idle_flush, settings.idle_exit) == (8, 30.0, 1800.0)


@pytest.mark.parametrize("what", ["FIFO", "device", "directory"])
def test_settings_are_a_file(workspace, what):
    path = workspace / "velo.toml"
    if what == "FIFO":
        os.mkfifo(path)  # nobody will ever write to it
    elif what == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()

    with pytest.raises(BadConfiguration, match="unreadable settings"):
        config.load(environment={})


def test_each_place_beats_the_next(workspace):
    write(config.user_file(), '[live]\nshards = 2\nidle_flush = "2s"\ngrace = 2\nidle_exit = 2')
    write(workspace / "velo.toml", '[live]\nshards = 3\nidle_flush = "3s"\ngrace = 3')
    environment = {"VELO_SHARDS": "4", "VELO_IDLE_FLUSH": "4s"}

    settings = config.load({"shards": "5"}, environment=environment)

    assert settings.shards == 5
    assert settings.idle_flush == 4.0
    assert settings.grace == 3.0
    assert settings.idle_exit == 2.0
    assert settings.origins["grace"] == str(workspace / "velo.toml")


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("max_memroy", "max_memory"), ("agressive_path", "aggressive_paths"), ("shard", "shards")],
)
def test_an_unknown_key_names_the_nearest_one(workspace, key, nearest):
    write(workspace / "velo.toml", f"[live]\n{key} = 1")

    message = refusal()

    assert key in message and f"did you mean '{nearest}'" in message
    assert str(workspace / "velo.toml") in message


@pytest.mark.parametrize(
    ("table", "key", "nearest"),
    [("replay", "modes", "mode"), ("replay", "nevver", "never"), ("exec", "summery", "summary")],
)
def test_an_unknown_key_of_a_table_names_the_nearest_one_there(workspace, table, key, nearest):
    write(workspace / "velo.toml", f"[{table}]\n{key} = 1")

    assert f"'{key}'; did you mean '{nearest}'" in refusal()


@pytest.mark.parametrize(
    ("text", "home"),
    [
        ('max_memory = "1GB"', "[live]"),
        ('[live]\nmode = "off"', "[replay]"),
        ("[live]\nmax_size = 1", "[replay] or [store]"),
        ('[trust]\nworkspaces = ["*"]', "[trust] counts only in"),
    ],
)
def test_a_key_of_another_table_is_led_there(workspace, text, home):
    write(workspace / "velo.toml", text)

    assert home in refusal(environment={}) and "did you mean" not in refusal(environment={})


def test_replay_is_on_until_somebody_says_otherwise(workspace):
    settings = config.load(environment={})

    assert (settings.replay, settings.replay_never, settings.summary) == ("on", (), None)


@pytest.mark.parametrize("said", ["A-B", "", "*", 7, ["A", 7], ["X" * 1001]])
def test_what_is_no_list_of_variables_is_refused(workspace, said):
    write(workspace / "velo.toml", f"[replay]\nignore = {json.dumps(said if said else [said])}\n")

    with pytest.raises(BadConfiguration, match="ignore"):
        config.load(environment={})


def test_a_variable_beats_what_the_file_says_of_replay(workspace):
    write(
        workspace / "velo.toml",
        '[replay]\nmode = "on"\nnever = ["protoc", "my-*"]\n[exec]\nsummary = true',
    )

    said = config.load(environment={})
    varied = config.load(environment={"VELO_REPLAY": "verify", "VELO_SUMMARY": "0"})
    flagged = config.load({"replay": "off"}, environment={"VELO_REPLAY": "verify"})

    assert (said.replay, said.replay_never, said.summary) == ("on", ("protoc", "my-*"), True)
    assert (varied.replay, varied.summary, flagged.replay) == ("verify", False, "off")


def test_what_velo_init_writes_are_the_defaults(workspace):
    write(workspace / "velo.toml", content())
    said = config.load(environment={})

    text = content().replace("# [", "[")
    lines = [re.sub(r"^# (\w+ = )", r"\1", line) for line in text.splitlines()]
    write(workspace / "velo.toml", "\n".join(lines))

    assert config.load(environment={})._replace(origins=said.origins) == said
    assert config.load(environment={}).origins["replay"].endswith("velo.toml")


def test_an_unknown_table_is_an_error_too(workspace):
    write(workspace / "velo.toml", "[lve]\nshards = 1")

    assert "did you mean 'live'" in refusal()


@pytest.mark.parametrize(
    "text",
    [
        "[live]\nmax_memory = '8 parsecs'",
        "[live]\nmax_memory = -1",
        "[live]\nmax_memory = '12kB'",
        "[live]\nmax_memory = true",
        "[live]\nshards = 0",
        "[live]\nshards = 65",
        "[live]\nshards = 1.5",
        "[live]\nshards = true",
        "[live]\naggressive_paths = []",
        "[live]\naggressive_paths = ['a/../b']",
        "[live]\naggressive_paths = ['*.o']",
        "[live]\naggressive_paths = ['/']",
        "[live]\naggressive_paths = ['~/build']",
        "[live]\naggressive_paths = [1]",
        "[live]\naggressive_paths = 7",
        "[live]\ncas_dir = 'relative'",
        "[live]\nidle_flush = 'soon'",
        "live = 3",
        "replay = 'on'",
        "[replay]\nmode = 'of'",
        "[replay]\nmode = true",
        "[replay]\nnever = [1]",
        "[replay]\nnever = ['usr/bin/cc']",
        "[exec]\nsummary = 'maybe'",
        "[live]\nidle_exit = " + "9" * 5000,
        "a = " + "[" * 100_000,
        "[live]\nmax_memory = " + "9" * 99,
        "[live",
        "\udcff",
    ],
    ids=lambda text: text[:40],
)
def test_a_bad_value_is_one_sentence_that_names_the_place(workspace, text):
    (workspace / "velo.toml").write_bytes(text.encode(errors="surrogateescape"))

    message = refusal()

    assert "velo.toml" in message and "\n" not in message.strip()


def test_a_bad_variable_is_blamed_on_the_environment(workspace):
    assert "environment: shards" in refusal(environment={"VELO_SHARDS": "many"})


def test_paths_are_normalised_and_lose_their_doubles(workspace):
    settings = config.load({"aggressive_paths": ["build", "build/", "/out", "a/b/"]})

    assert settings.aggressive_paths == ("build/", "/out/", "a/b/")


def test_paths_from_the_environment_are_separated_by_colons(workspace):
    settings = config.load(environment={"VELO_AGGRESSIVE_PATHS": "out/:/gen"})

    assert settings.aggressive_paths == ("out/", "/gen/")


def test_the_workspace_is_the_nearest_velo_toml_upward(workspace):
    write(workspace / "velo.toml", "")
    deep = workspace / "a" / "b"
    deep.mkdir(parents=True)

    assert config.find_workspace(str(deep)) == os.path.realpath(workspace)


def test_without_a_velo_toml_the_workspace_is_where_one_is(workspace):
    deep = workspace / "a"
    deep.mkdir()

    assert config.find_workspace(str(deep)) == os.path.realpath(deep)


def test_the_other_spelling_of_the_workspace_is_kept(workspace, tmp_path, monkeypatch):
    link = tmp_path / "link"
    link.symlink_to(workspace)
    write(workspace / "velo.toml", "")
    (workspace / "a").mkdir()
    monkeypatch.chdir(link / "a")
    monkeypatch.setenv("PWD", str(link / "a"))

    settings = config.load()

    assert (settings.workspace, settings.alias) == (os.path.realpath(workspace), str(link))


def test_a_directory_that_does_not_exist_is_no_workspace(workspace):
    assert "no workspace" in refusal(start="/nonexistent/velo")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        (4096, 4096),
        ("8GB", 8 * 10**9),
        ("8 gb", 8 * 10**9),
        ("512MiB", 512 << 20),
        ("512M", 512 << 20),
        ("1.5KiB", 1536),
        ("2TiB", 2 << 40),
        ("7b", 7),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("30s", 30),
        (30, 30),
        (0.5, 0.5),
        ("250ms", 0.25),
        ("5min", 300),
        ("2h", 7200),
        ("1d", 86400),
    ],
)
def test_durations(text, duration):
    assert parse_duration(text) == pytest.approx(duration)


@pytest.mark.parametrize(
    "text", ["", "GB", "1e9", "8 G B", "-1", "１GB", None, True, [], "1.", "∞"]
)
def test_what_is_no_size_is_a_value_error(text):
    with pytest.raises(ValueError, match="is not"):
        parse_size(text)


def test_sizes_and_durations_are_shown_as_people_say_them():
    assert [format_size(n) for n in (0, 1023, 1024, 8 << 30)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "8.0 GiB",
    ]
    assert [format_duration(s) for s in (0.25, 30, 300, 7200)] == ["250 ms", "30 s", "5 min", "2 h"]


# ---- trust ---------------------------------------------------------------------------------------

SOMEBODY = 12345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root: files of somebody else")


def foreign(path, text="[live]\nshards = 3"):
    write(path, text)
    os.chown(path, SOMEBODY, SOMEBODY)


@needs_root
def test_a_velo_toml_of_somebody_else_is_refused_and_the_switch_named(workspace):
    foreign(workspace / "velo.toml")

    with pytest.raises(NotTrusted) as caught:
        config.load(environment={})

    message = str(caught.value)
    assert str(workspace / "velo.toml") in message and f"uid {SOMEBODY}" in message
    assert f"VELO_TRUST={workspace}" in message and config.user_file() in message


@needs_root
@pytest.mark.parametrize("named", ["{}", "/elsewhere:{}", "{}/../workspace/", "*"])
def test_a_workspace_that_the_user_trusts_may_be_somebody_elses(workspace, named):
    foreign(workspace / "velo.toml")

    assert config.load(environment={"VELO_TRUST": named.format(workspace)}).shards == 3


@needs_root
def test_trust_is_for_the_workspace_that_was_named(workspace):
    foreign(workspace / "velo.toml")

    with pytest.raises(NotTrusted):
        config.load(environment={"VELO_TRUST": str(workspace.parent)})


@needs_root
def test_the_users_own_file_can_trust_a_workspace(workspace):
    foreign(workspace / "velo.toml")
    write(config.user_file(), f'[trust]\nworkspaces = ["{workspace}"]')

    assert config.load(environment={}).shards == 3


@needs_root
def test_under_sudo_the_checkout_of_who_called_it_is_trusted(workspace):
    foreign(workspace / "velo.toml")

    assert config.load(environment={"SUDO_UID": str(SOMEBODY)}).shards == 3
    with pytest.raises(NotTrusted):
        config.load(environment={"SUDO_UID": "777"})


@needs_root
def test_a_link_of_somebody_else_to_a_file_of_ours_is_refused(workspace):
    write(workspace / "mine", "[live]\nshards = 3")
    (workspace / "velo.toml").symlink_to("mine")
    os.chown(workspace / "velo.toml", SOMEBODY, SOMEBODY, follow_symlinks=False)

    with pytest.raises(NotTrusted):
        config.load(environment={})


@pytest.mark.parametrize("mode", [0o666, 0o646, 0o602])
def test_a_velo_toml_that_anybody_may_write_is_refused(workspace, mode):
    write(workspace / "velo.toml", "[live]\nshards = 3")
    (workspace / "velo.toml").chmod(mode)

    with pytest.raises(NotTrusted, match=f"0{mode:o}.*VELO_TRUST"):
        config.load(environment={})


@needs_root
def test_a_velo_toml_that_a_group_may_write_is_refused(workspace):
    write(workspace / "velo.toml", "")
    (workspace / "velo.toml").chmod(0o664)

    with pytest.raises(NotTrusted):
        config.load(environment={})


def test_the_users_own_file_is_no_exception_and_cannot_trust_itself(workspace):
    write(config.user_file(), '[trust]\nworkspaces = ["*"]')
    os.chmod(config.user_file(), 0o666)

    with pytest.raises(NotTrusted, match="chmod go-w"):
        config.load(environment={"VELO_TRUST": "*"})


def test_the_store_is_not_chosen_by_a_workspace(workspace):
    write(workspace / "velo.toml", '[live]\ncas_dir = "/elsewhere"')

    message = refusal(environment={"VELO_TRUST": "*"})

    assert "cas_dir" in message and config.user_file() in message and "VELO_CAS_DIR" in message


def test_the_store_is_chosen_by_the_user(workspace):
    write(config.user_file(), '[live]\ncas_dir = "/his/own"')

    assert config.load(environment={}).cas_dir == "/his/own"
    assert config.load(environment={"VELO_CAS_DIR": "/variable"}).cas_dir == "/variable"
    assert config.load({"cas_dir": "/flag"}, environment={}).cas_dir == "/flag"


def test_the_stores_cap_is_the_users_and_no_workspaces(workspace):
    write(config.user_file(), '[store]\nmax_size = "3GiB"')

    assert config.load(environment={}).store_max_size == 3 << 30
    assert config.load(environment={"VELO_STORE_MAX_SIZE": "0"}).store_max_size == 0

    write(workspace / "velo.toml", '[store]\nmax_size = "1GB"')
    message = refusal(environment={})
    assert "max_size" in message and "VELO_STORE_MAX_SIZE" in message


def test_a_key_that_stands_above_all_tables_is_called_a_key(workspace):
    write(workspace / "velo.toml", "max_memroy = 1")

    assert "unknown key outside of tables" in refusal(environment={})
    assert "did you mean 'max_memory'" in refusal(environment={})


def test_what_is_like_no_key_is_told_what_there_is(workspace):
    write(workspace / "velo.toml", "x = 1")
    above = refusal(environment={})
    write(workspace / "velo.toml", "[store]\nx = 1")

    assert "'x'; there are live, " in above
    assert "'x'; there are " in refusal(environment={}) and "max_size" in refusal(environment={})


@pytest.mark.parametrize(
    "text, said",
    [
        ("[store]\nmax_siz = 1", "did you mean 'max_size'"),
        ("[live]\nmax_size = 1", "unknown key"),
        ("store = 3", "must be a table"),
        ('[store]\nmax_size = "much"', "is not a size"),
    ],
)
def test_the_stores_table_is_checked_as_the_other(workspace, text, said):
    write(config.user_file(), text)

    assert said in refusal(environment={})


def test_a_workspace_cannot_trust_itself(workspace):
    write(workspace / "velo.toml", '[trust]\nworkspaces = ["*"]')

    assert "unknown table" in refusal(environment={})


def test_any_bytes_in_a_velo_toml_are_settings_or_one_sentence(workspace):
    # Goal: no traceback. Method: valid lines and odd values at random, some bytes of them changed.
    seed = random.Random(5)
    values = ["inf", "nan", "-1", "true", '"8GB"', '"\\u0000"', "[]", "{}", '["a"]', '["\\u0000"]']
    values += [
        "[[1]]",
        '"\u0661GB"',
        '"0x8"',
        "1_000",
        '"\u00b2"',
        "1979-05-27",
        '"' + "9" * 5000 + '"',
    ]
    names = [setting.name for setting in config.SETTINGS]
    for _ in range(1500):
        chosen = seed.sample(names, seed.randrange(1, 4))
        table = f"[{seed.choice(config.TABLES)}]\n" if seed.random() < 0.5 else "[live]\n"
        text = table + "\n".join(f"{name} = {seed.choice(values)}" for name in chosen)
        data = bytearray(text.encode())
        for _ in range(seed.choice((0, 0, 0, 3))):
            data[seed.randrange(len(data))] = seed.randrange(256)
        (workspace / "velo.toml").write_bytes(data)
        with contextlib.suppress(BadConfiguration):
            config.load(environment={})
