"""A step is the same when what it is given is: its variables in any order, its output anywhere.

In: the project of ten C files, and programs that look at what they are given. Out: which steps were
replayed when that was another, and that those look again for which it makes a difference.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess

import pytest

from support.harness import run_native, tool
from support.replayed import PROJECTS, STEPS, TOML, UNITS, until_old

TELLING = """
#include <stdio.h>
#include <unistd.h>
int main(void) { for (char **each = environ; *each; each++) puts(*each); }
"""

ASKING = """
#include <stdio.h>
#include <stdlib.h>
int main(void) { const char *said = getenv("SAID"); puts(said ? said : "none"); }
"""
# How a step may look at the variable SAID, and whether it is replayed when that is the same. What
# python and perl make is kept when a second run made the same.
LOOKING = {
    "dollar": ("echo $$SAID > build/f", True),
    "braces": ("echo $${SAID:-none} > build/f", True),
    "length": ("echo $${#SAID} > build/f", True),
    "arithmetic": ("echo $$((SAID + 1)) > build/f", True),
    "eval": ("name=SAID; eval echo \\$$$$name > build/f", True),
    "eval in parts": ("name=SAID; eval echo '$$'$$name > build/f", True),
    "indirect": ("bash -c 'name=SAID; echo $${!name}' > build/f", True),
    "name reference": ("bash -c 'declare -n name=SAID; echo $$name' > build/f", True),
    "is set": ("bash -c 'if [ -v SAID ]; then echo y; else echo n; fi' > build/f", True),
    "appended": ("bash -c 'SAID+=x; export SAID; ./ask' > build/f", True),
    "as an index": ("bash -c 'a=(x y z); echo $${a[SAID]}' > build/f", True),
    "exported by being there": ("SAID=x; sh -c 'echo $$SAID' > build/f", True),
    "a script": ("sh say.sh > build/f", True),
    "sourced": ("(. ./say.sh) > build/f", True),
    "of awk": ("awk 'BEGIN { print ENVIRON[\"SAID\"] }' > build/f", True),
    "of cmake": ("cmake -P say.cmake 2> build/f", True),
    "asked for": ("./ask > build/f", True),
    "all of them": ("./tell | grep ^SAID > build/f || true", True),
    "listed": ("export -p | grep SAID > build/f || true", True),
    "env": ("env | grep ^SAID > build/f || true", True),
    "printenv": ("printenv SAID > build/f || true", True),
    "python": ("python3 -c 'import os; print(os.environ.get(\"SAID\"))' > build/f", False),
    "perl": ("perl -e 'print $$ENV{SAID}' > build/f", False),
    "a compiler": ("echo int x\\; > build/f.c; CPATH=$$SAID gcc -E -P build/f.c > build/f", True),
    "said": ("echo $$SAID; echo > build/f", True),
}
# Commands, and whether they are replayed, and on a machine of another name.
NAMING = {
    "a compiler": ("gcc -c a.c -o build/o && echo y > build/f", True, True),
    "a shell": ("bash -c 'x=1; echo $$x' > build/f", True, True),
    "uname": ("uname -n > build/f", True, False),
    "a variable": ("bash -c 'echo $$HOSTNAME' > build/f", True, False),
    "a prompt": ("bash -c 'name=\\h; echo $${name@P}' > build/f", False, False),  # or the time
    "a file": ("bash -c 'read x </proc/sys/kernel/hostname; echo $$x' > build/f", False, False),
    "python": ("python3 -c 'import socket; print(socket.gethostname())' > build/f", False, False),
}
CLONE_NEWUTS = 0x04000000


@pytest.mark.long
def test_a_variable_that_is_new_to_a_step_is_named(project):
    project = project("ninja")
    project.run()
    project.clean()

    project.run(CPATH=str(project.root))

    assert set(project.reasons().values()) == {"new: CPATH in the environment changed"}
    assert project.counts() == (STEPS - UNITS, UNITS, 0)  # the linker does not ask for it
    assert {step["variable"] for step in project.steps()} == {"CPATH", ""}


@PROJECTS
def test_a_variable_that_no_program_asks_for_changes_no_step(project, builder):
    made = project(builder)
    made.run()
    made.clean()

    made.run(BUILD_NUMBER="17", TMUX="/tmp/tmux-0/default,1,0", TERM="xterm-256color")

    assert made.counts()[0] >= STEPS and made.counts()[1:] == (0, 0)


@pytest.mark.long
def test_where_the_shell_stood_changes_no_step(workspace, velo):
    root = workspace(toml=TOML)
    (root / "build").mkdir()
    (root / "in.c").write_text("int x;\n")
    (root / "link").symlink_to("build")
    rule = 'rule r\n  command = pwd > $out; echo "$$PWD" >> $out; gcc -g -c ../in.c -o $out.o\n'
    (root / "ninja.in").write_text(f"{rule}build f: r ../in.c\n")
    until_old(root.iterdir())
    counted = []
    for start in ("ninja -C build", "cd build && ninja", "cd link && ninja", "ninja -C link"):
        for made in (root / "build").iterdir():
            made.unlink()
        (root / "build/build.ninja").write_bytes((root / "ninja.in").read_bytes())
        velo.exec("sh", "-c", start, cwd=root, env={"PWD": str(root)})
        last = json.loads(velo.run("stats", "--json", cwd=root).stdout)["last"]
        hosted = (root / "build/f").read_text()
        (root / "build/f").unlink()
        run_native("sh", "-c", start, cwd=root)
        counted.append((last["replayed"], hosted == (root / "build/f").read_text()))

    assert counted == [(0, True), (1, True), (0, True), (1, True)]


def test_a_variable_that_the_user_ignores_changes_no_step(workspace, velo):
    root = workspace(toml=TOML + 'ignore = ["BUILD_*", "SSH_TTY"]\n')
    (root / "tell.c").write_text(TELLING)
    run_native("gcc", "tell.c", "-D_GNU_SOURCE", "-o", "tell", cwd=root)
    (root / "Makefile").write_text("build/f:\n\t@mkdir -p build\n\t@./tell > build/f\n")
    until_old(root.iterdir())
    replayed = []
    for given in ({}, {"BUILD_NUMBER": "1", "SSH_TTY": "t"}, {"BUILDER": "me"}):
        (root / "build/f").unlink(missing_ok=True)
        velo.exec("make", cwd=root, env=given)
        last = json.loads(velo.run("stats", "--json", cwd=root).stdout)["last"]
        replayed.append(last["replayed"])

    assert replayed == [0, 2, 1]


@pytest.mark.long
@pytest.mark.parametrize("how", LOOKING)
def test_a_step_that_looks_at_a_variable_is_as_natively_when_it_changes(workspace, velo, how):
    command, replays = LOOKING[how]
    root = workspace(toml=TOML)
    for name, text in {"say.sh": 'echo "$SAID"\n', "ask.c": ASKING, "tell.c": TELLING}.items():
        (root / name).write_text(text)
    (root / "say.cmake").write_text('message("$ENV{SAID}")\n')
    for name in ("ask", "tell"):
        run_native("gcc", f"{name}.c", "-D_GNU_SOURCE", "-o", name, cwd=root)
    (root / "Makefile").write_text(f"build/f:\n\t@mkdir -p build\n\t@{command}\n")
    until_old(root.iterdir())
    replayed = []
    for value in (None, "1", "1", "2", None, "2"):
        (root / "build/f").unlink(missing_ok=True)
        given = {} if value is None else {"SAID": value}
        words = ["env", *(f"{name}={text}" for name, text in given.items()), "make"]
        plain = run_native(*words, cwd=root).stdout, (root / "build/f").read_text()
        (root / "build/f").unlink()
        done = velo.exec("make", cwd=root, env=given)
        assert (done.stdout, (root / "build/f").read_text()) == plain, value
        last = json.loads(velo.run("stats", "--json", cwd=root).stdout)["last"]
        replayed.append(last["replayed"] == 2)

    assert replayed[2] == replays and (not replays or replayed[4] and replayed[5])


def _elsewhere() -> None:
    """On a machine of another name, as each container is."""
    assert ctypes.CDLL(None).unshare(CLONE_NEWUTS) == 0
    socket.sethostname("elsewhere")


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="the machine's name is changed by root alone")
@pytest.mark.parametrize("how", NAMING)
def test_a_step_counts_the_name_of_the_machine_when_it_may_have_asked(workspace, velo, how):
    command, *is_replayed = NAMING[how]
    root = workspace(toml=TOML)
    (root / "a.c").write_text("int x;\n")
    (root / "Makefile").write_text(f"build/f:\n\t@mkdir -p build\n\t@{command}\n")
    until_old(root.iterdir())
    replayed = []
    for there in (None, None, None, _elsewhere):
        (root / "build/f").unlink(missing_ok=True)
        subprocess.run(["make"], cwd=root, check=True, preexec_fn=there)
        plain = (root / "build/f").read_text()
        (root / "build/f").unlink()
        velo.finish(velo.start("exec", "--", "make", cwd=root, preexec_fn=there))
        assert (root / "build/f").read_text() == plain
        last = json.loads(velo.run("stats", "--json", cwd=root).stdout)["last"]
        replayed.append(last["replayed"] == 2)

    assert replayed[2:4] == is_replayed
    told = velo.run("explain", cwd=root).stdout
    assert ("the machine has another name" in told) == (is_replayed == [True, False])


@pytest.mark.skipif(os.geteuid() != 0, reason="the machine's name is changed by root alone")
def test_the_name_of_the_machine_is_that_of_where_the_step_ran(workspace, velo):
    root = workspace(toml=TOML)
    (root / "Makefile").write_text("build/f:\n\t@mkdir -p build; bash -c 'echo $$HOSTNAME' > $@\n")
    rename = "echo elsewhere > /proc/sys/kernel/hostname"
    until_old(root.iterdir())
    for command in ("unshare", "--uts", "sh", "-c", f"{rename}; exec make"), ("make",):
        (root / "build/f").unlink(missing_ok=True)
        velo.exec(*command, cwd=root, env={"PWD": str(root)})

    assert (root / "build/f").read_text() == f"{os.uname().nodename}\n"


@pytest.mark.long
def test_a_shell_before_the_build_tool_changes_no_step(project):
    made = project("ninja")
    here = {"PWD": str(made.root)}  # a shell says so of itself
    made.run(**here)
    made.clean()

    made.run(before=("sh", "-c", 'exec "$0"'), **here)  # it gives all in an order of its own

    assert made.counts() == (STEPS, 0, 0)


@PROJECTS
def test_where_the_output_goes_changes_no_step_that_says_nothing(project, builder):
    made = project(builder)
    here = {"PWD": str(made.root)}
    made.run(before=("sh", "-c", '"$0" "$@" >said 2>&1'), **here)
    made.clean()

    made.run(**here)  # to a pipe

    replayed, *others = made.counts()
    assert replayed >= STEPS and others == [0, 0]


def test_what_looks_where_its_output_goes_is_run_when_that_is_elsewhere(workspace, velo):
    root = workspace(toml=TOML)
    (root / "build").mkdir()
    (root / "Makefile").write_text("build/f:\n\ttest -t 2 && echo t >$@ || echo no >$@\n")
    counted = []
    for command in ("make 2>said", "make 2>said", "script -qec make /dev/null", "make"):
        (root / "build/f").unlink(missing_ok=True)
        velo.exec("sh", "-c", command, cwd=root)
        said = (root / "build/f").read_text()
        last = json.loads(velo.run("stats", "--json", cwd=root).stdout)["last"]
        counted.append((said, last["replayed"]))

    assert counted == [("no\n", 0), ("no\n", 1), ("t\n", 0), ("no\n", 0)]


def test_a_program_that_tells_the_order_of_its_variables_is_run_when_that_is_another(
    workspace, velo
):
    root = workspace(toml=TOML)
    (root / "build").mkdir()
    (root / "tell.c").write_text(TELLING)
    run_native("gcc", "tell.c", "-D_GNU_SOURCE", "-o", "tell", cwd=root)
    rule = "rule tell\n  command = ./tell > $out\n"
    (root / "build.ninja").write_text(f"{rule}build build/said: tell\n")
    first, second = ("ABC", "1"), ("ACB", "2")  # dash has both in one list, in the order they came
    said = []
    for order in ((first, second), (second, first), (second, first)):
        (root / "build/said").unlink(missing_ok=True)
        velo.exec(tool("ninja"), cwd=root, env=dict(order))
        said.append((root / "build/said").read_text())
    last = json.loads(velo.run("stats", "--json", cwd=root).stdout)["last"]

    assert said[0] != said[1] == said[2] and last["replayed"] == 1


def test_how_much_a_step_may_use_is_part_of_what_it_was_given(workspace, velo):
    root = workspace(toml=TOML)
    (root / "build").mkdir()
    (root / "Makefile").write_text("build/f: build/g\n\tnproc >$@; cat build/g >>$@\n"
                                   "build/g:\n\tulimit -n >$@\n")  # fmt: skip
    processor = min(os.sched_getaffinity(0))
    said, replayed = [], []
    for limit in ("100", "100", "90", "100"):
        for name in "fg":
            (root / f"build/{name}").unlink(missing_ok=True)
        limited = f"ulimit -n {limit} && exec taskset -c {processor} make -s"
        command = limited if limit != "100" else f"ulimit -n {limit} && exec make -s"
        velo.exec("sh", "-c", command, cwd=root)
        said.append((root / "build/f").read_text())
        last = json.loads(velo.run("stats", "--json", cwd=root).stdout)["last"]
        replayed.append(last["replayed"])

    whole = f"{len(os.sched_getaffinity(0))}\n100\n"
    assert said == [whole, whole, "1\n90\n", whole] and replayed == [0, 2, 0, 2]
