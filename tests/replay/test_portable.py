"""What may be taken to a clone of a workspace: only what its place cannot have gone into."""

from __future__ import annotations

import subprocess

import pytest

from support.harness import tool
from support.unit_logs import Said, at, environment, hosted, program, step, write
from velo.shards.replay import analysis, portable
from velo.shards.replay import unit_log as log
from velo.shards.replay.portable import Place, is_packed

ROOT = "/home/me/project"
OUT = f"{ROOT}/build/a.o"
GCC = program("/usr/bin/gcc")


@pytest.fixture
def why(tmp_path):
    """Why an entry of such a step is bound to its workspace; "" when it is not."""

    def ask(
        *records: Said, argv=("gcc", "-c", "a.c"), content=b"code", cwd=ROOT, root=ROOT, ran=GCC,
        head=None, **variables: str,
    ):  # fmt: skip
        at_first = step(*argv, program=f"/usr/bin/{argv[0]}", cwd=cwd), environment(**variables)
        wrote = at(log.WRITE, OUT, flags=log.NEW), hosted(OUT, log.OUTPUT, content)
        read = write(tmp_path / "1-0.f", *at_first, ran, *records, *wrote, **(head or {}))
        unit = log.read(str(read))
        analysed = analysis.analyse(unit)
        return portable.why_bound(unit, analysed, Place(root), lambda _: content)

    return ask


def test_a_compilation_with_relative_paths_is_portable(why):
    asked = at(log.READ, f"{ROOT}/a.c"), at(log.ABSENT, "/usr/include/x.h")
    assert why(*asked, PWD=ROOT, HOME="/home/me") == ""
    assert why(PWD="/tmp") == ""  # not where it stands, so gcc asks the kernel


@pytest.mark.parametrize(
    "argument",
    [f"-I{ROOT}/inc", ROOT, "-DX=#home#me#project#", f"-ffile-prefix-map=x={ROOT}", "-fplugin=x"],
)
def test_arguments_that_name_the_place_or_give_more_to_do_bind(why, argument):
    assert "arguments" in why(argv=("gcc", argument))


def test_prefix_maps_may_name_it(why):
    assert why(argv=("gcc", f"-ffile-prefix-map={ROOT}/src=.", "a.c")) == ""
    assert why(argv=("sh", "-c", f"cc -fdebug-prefix-map={ROOT}=. a.c"), ran=SH) == ""


SH = program("/bin/dash")


@pytest.mark.parametrize(
    "text",
    ["cc a.c -o $X", "cc `x`", "pwd > a", "cd x && cc a.c", ". ./env; cc a.c", "echo ~+", "set >x",
     "env | cmp", "eval x", "(cd ..; cc a.c)"],
)  # fmt: skip
def test_a_shell_that_may_ask_where_it_is_binds(why, text):
    assert "shell" in why(argv=("sh", "-c", text), ran=SH)


@pytest.mark.parametrize(
    "text", ["cc -c a.c -o build/a.o", "rm -f x && ar rcs x a.o", "cc a.c '-Wl,-rpath,$ORIGIN/x'"]
)
def test_a_shell_that_only_runs_compilers_does_not(why, text):
    assert why(argv=("sh", "-c", text), ran=SH) == ""


def test_scripts_and_shells_within_bind(why):
    assert "shell" in why(argv=("sh", "gen.sh"), ran=SH)
    assert "dash" in why(ran=SH)


@pytest.mark.parametrize("name", ["/usr/bin/python3", "/usr/bin/rustc", f"{ROOT}/tools/gcc"])
def test_programs_that_are_not_known_bind(why, name):
    assert why(ran=program(name))


def test_a_plugin_of_the_workspace_binds(why):
    assert "code of the workspace" in why(at(log.OBJECT, f"{ROOT}/build/plugin.so"))


@pytest.mark.parametrize(
    "content",
    [b"\0/home/me/project/src\0", b"#home#me#project#build", b'"\\/home\\/me\\/project"',
     b"x=/home//me/./project"],
)  # fmt: skip
def test_outputs_that_name_the_place_bind(why, content):
    assert "build/a.o holds the path" in why(content=content)
    assert "what it said" in why(Said(log.TEXT, content, 1))


def test_longer_names_and_the_last_name_alone_do_not(why):
    assert why(content=b"/home/me/project2 project.c /home/you/project") == ""


def test_what_is_found_by_going_up_binds_and_what_is_named_does_not(why):
    upward = at(log.ABSENT, "/home/me/.config/x")
    assert "/home/me/.config/x" in why(upward)
    assert "/home/me/.config/x" in why(upward, HOME="/home/me")  # that is above it
    assert why(upward, CONFIG="/home/me/.config") == ""
    found = at(log.ABSENT, "/home/me/bin/as")
    assert "/home/me/bin/as" in why(found, PATH="/usr/bin:/home/me/bi")
    assert why(found, PATH="/usr/bin:/home/me/bin") == ""
    assert why(at(log.STAT, "/home"), at(log.NO_LINK, "/home/me")) == ""


def test_what_is_named_whole_binds_unless_the_environment_names_it(why):
    whole = at(log.NAMED, f"{ROOT}/tools//bin/as")
    assert "it named tools/bin/as" in why(whole, PWD=ROOT)
    assert "it named tools/bin/as" in why(whole, PATH=f"/bin:{ROOT}/tools/bi")
    assert why(whole, PATH=f"/bin:{ROOT}/tools/bin") == ""
    assert why(at(log.NAMED, ROOT), at(log.NAMED, f"{ROOT}/sub"), cwd=f"{ROOT}/sub") == ""
    assert "it named" in why(at(log.NAMED, ROOT, flags=1), PWD=ROOT)  # and others


def test_less_of_what_a_compiler_wrote_binds(why):
    many = {"started": 2, "enlisted": 2, "vouched": 2}
    assert "sed" in why(program("/bin/sed", process=101), head=many)
    assert "strip" in why(program("/usr/bin/strip", process=101), head=many)  # the build-id
    assert why(program("/usr/bin/ld", process=101), head=many) == ""
    assert why(ran=program("/usr/bin/nm")) == ""


def test_another_name_of_the_workspace_in_pwd_binds(why, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    root = str(tmp_path / "real")
    assert "symlink" in why(root=root, cwd=root, PWD=str(tmp_path / "link"))


def test_odd_places_bind(why):
    assert "characters" in why(root="/home/me/my project", cwd="/home/me/my project")
    assert "outside" in why(cwd="/home/me")


@pytest.mark.parametrize("options", [["-g", "-gz"], ["-flto"], ["-flto", "-ffat-lto-objects"]])
def test_objects_with_packed_texts_are_told(tmp_path, options):
    (tmp_path / "a.c").write_text("int a(void) { return 1; }\n")
    for more, packed in (options, True), (["-g", "-ffunction-sections"], False):
        command = [tool("gcc"), *more, "-c", "a.c", "-o", "a.o"]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
        assert is_packed((tmp_path / "a.o").read_bytes()) == packed


def test_files_that_are_no_objects(tmp_path):
    assert is_packed(b"\x1f\x8b rest") and is_packed(b"\x7fELF") and not is_packed(b"text")
