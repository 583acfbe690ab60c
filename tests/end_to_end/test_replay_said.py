"""What a step of make says is said again, or the step is run: in whatever way it speaks.

In: a program that says its name in some sixty ways, its output in a file, a pipe or a terminal.
Out: of three builds, each cleaned before, that each says what a native one says.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import pytest

from support.harness import run_native, tool
from support.replayed import TOML

SOURCE = Path(__file__).parents[1] / "support/saying.c"
WAYS = set(re.findall(r'is\(way, "([\w-]+)"\)', SOURCE.read_text())) - {"by-seven", "left"}
LINES = {"perror-between 2", "lines-and-rest 2"}  # of those that say more than one
KNOWN = set("write puts printf printf-errors fwrite-errors letters-errors".split())
KNOWN |= {"buffered-errors", "error-text", "flushed-between", "flushed-lines", "puts-flushed"}
KNOWN |= set("line-buffered lines-elsewhere lines-and-rest lines-format lines-letters".split())
KNOWN |= set("lines-errors lines-flushed flushed-elsewhere much-elsewhere unbuffered-puts".split())
KNOWN |= {"other-stdout"}
UNKNOWN = set("wide perror perror-between flushed-letters letters-then-puts lost".split())
UNKNOWN |= {"lines-error", "flushed-error", "letters-elsewhere", "more-elsewhere", "led"}
MAKE = "all: {targets}\nbuild/%:\n\t@./saying $* && touch $@\n"
SHELL_MAKE = """\
all: build/echo build/printf build/copy build/group build/both build/late build/one.o build/odd.o
build/odd.o:
\t@gcc -Wall -c odd.c -o $@
build/echo:
\t@echo "  CC  $@"; cp one $@
build/printf:
\t@printf '%s\\n' one two three; cp one $@
build/copy:
\t@exec 3>&1; echo by three >&3; cp one $@
build/group:
\t@{ echo first; echo second; } && cp one $@
build/both:
\t@echo out; echo error >&2; cp one $@
build/late:
\t@cp one $@; cat one; echo last
build/one.o: build/one.Po
\t@echo "  CC  $@"; gcc -MT $@ -MD -MP -MF build/one.Tpo -c one.c -o $@ && \
\tmv -f build/one.Tpo build/one.Po
build/one.Po:
\t@echo dummy >$@
"""
NODE_SAYS = """\
console.log(`${process.stdout.columns} columns`);
console.error('an error');
require('fs').writeFileSync('build/out', 'made');
console.log('the end');
"""
# Of its terminal, as which node opens stdout again, and not of its standard input.
NODE_READS = """\
const fs = require('fs');
process.stdout.isTTY;
const read = Buffer.alloc(99);
fs.writeFileSync('build/line', read.subarray(0, fs.readSync(2, read, 0, 99)));
"""
ANSWERED = {"echo", "printf", "copy", "group", "both", "one.o", "one.Po", "odd.o"}
BASH_MAKE = """\
SHELL = /bin/bash
all: $(patsubst %,build/%,{targets})
build/warning:
	@bash says.sh >$@
build/piped:
	@bash says.sh | sort >$@
build/taken:
	@X=$$(bash says.sh); echo "$$X" >$@
build/nowhere:
	@bash says.sh >/dev/null; cp one $@
build/kept:
	@exec 3>&1 >$@; echo by three >&3; echo into the file
build/copied:
	@bash -c 'echo by three >&3; echo into the file' 3>&1 >$@
build/builtins:
	@pwd >&2; type pwd >&2; cp one $@
build/no-newline:
	@printf 'no '; printf 'newline: ' >&2; printf '%s\\n' end; cp one $@
build/traced:
	@bash -x says.sh >$@
build/unknown:
	@no-such-program 2>&1; cp one $@
build/group:
	@{{ echo one; echo two >&2; }} >$@; echo three
build/subshell:
	@(echo one; echo two >&2) >$@; echo three
build/function:
	@warn() {{ echo "$$@" 1>&2; }}; warn first; echo second >$@; warn third
build/into:
	@echo 1 >$@
build/into-printf:
	@printf '%s\\n' 1 2 3 >$@; pwd >>$@; echo 4 >>$@
build/into-and-said:
	@echo said; cat one >$@; echo 2 >>$@
build/into-both:
	@{{ echo 1; echo 2 >&2; }} >$@ 2>&1
"""
BASH_SAYS = "echo text\necho warning: old >&2\n"
GIVEN_MAKE = """\
all: build/read build/write build/copy
build/read:
\t@read line <&5; echo "$$line" >$@
build/write:
\t@echo w >&6; cp one $@
build/copy:
\t@cp one $@
"""
TERMINAL = "script -qefc 'make -s' /dev/null </dev/null | tr -d '\\r' >>said"
INTO = {"a file": "make -s >>said 2>&1", "a pipe": "make -s 2>&1 | cat >>said"}


def said_by_three(velo, root: Path, command: str) -> list[list[str]]:
    """Of a native build and of three hosted ones."""
    found = []
    for build in range(4):
        shutil.rmtree(root / "build", ignore_errors=True)
        (root / "build").mkdir()
        (root / "said").write_text("")
        time.sleep(0.05)  # what was changed within 20 ms before a step makes it uncached
        if build == 0:
            run_native("sh", "-c", command, cwd=root)
        else:
            velo.exec("sh", "-c", command, cwd=root)
        found.append((root / "said").read_text().splitlines())
    return found


def replayed(velo, root: Path) -> set[str]:
    """What the steps make that were answered."""
    steps = json.loads(velo.run("explain", "--json", cwd=root).stdout)["steps"]
    answered = (step["makes"] for step in steps if step["outcome"] == "replayed")
    return {Path(name).name for names in answered for name in names}


def make_ways(root: Path) -> None:
    """A makefile of which each step is a way."""
    run_native(tool("gcc"), "-O2", "-w", "-pthread", str(SOURCE), "-o", "saying", cwd=root)
    targets = " ".join(f"build/{way}" for way in sorted(WAYS))
    (root / "Makefile").write_text(MAKE.format(targets=targets))


@pytest.mark.parametrize("command", INTO.values(), ids=INTO)
def test_whatever_a_step_says_is_said_by_each_build(command, workspace, velo):
    root = workspace(toml=TOML)
    make_ways(root)

    native, *hosted = said_by_three(velo, root, command)

    assert len(native) == len(WAYS - {"nothing"} | LINES)
    assert hosted == [native] * 3
    answered = replayed(velo, root)
    assert (KNOWN - answered, UNKNOWN & answered) == (set(), set())


def test_whatever_a_step_says_to_a_terminal_is_said_by_each_build(workspace, velo):
    # Make tells programs the name of its terminal: tests beside this one may have had it before.
    root = workspace(toml=f'{TOML}ignore = ["MAKE_TERM*"]\n')
    tool("script")
    make_ways(root)

    native, *hosted = said_by_three(velo, root, TERMINAL)

    assert hosted == [native] * 3
    assert replayed(velo, root) >= KNOWN | {"letters-elsewhere", "flushed-letters"}


@pytest.mark.parametrize("command", INTO.values(), ids=INTO)
def test_what_a_shell_says_is_said_again_without_it(command, workspace, velo):
    root = workspace(toml=TOML)
    (root / "Makefile").write_text(SHELL_MAKE)
    (root / "one").write_text("1\n")
    (root / "one.c").write_text("int one;\n")
    (root / "odd.c").write_text("int odd(int a) { int b; if (a = 1) return b; return 0; }\n")
    tool("gcc")

    native, *hosted = said_by_three(velo, root, command)

    assert hosted == [native] * 3
    assert replayed(velo, root) >= ANSWERED


@pytest.mark.parametrize("command", [*INTO.values(), TERMINAL], ids=[*INTO, "a terminal"])
def test_what_bash_says_is_said_again_without_it(command, workspace, velo):
    root = workspace(toml=TOML)
    tool("bash")
    if command == TERMINAL:
        tool("script")
    targets = set(re.findall(r"^build/([\w-]+):", BASH_MAKE, re.MULTILINE))
    (root / "Makefile").write_text(BASH_MAKE.format(targets=" ".join(sorted(targets))))
    (root / "one").write_text("1\n")
    (root / "says.sh").write_text(BASH_SAYS)

    native, *hosted = said_by_three(velo, root, command)

    assert native.count("warning: old") == 5
    assert hosted == [native] * 3
    assert replayed(velo, root) == targets, velo.run("explain", cwd=root).stdout


NODE_ASKS = """\
const fs = require('fs');
process.stdin.once('data', (line) => {
    fs.writeFileSync('build/line', line);
    process.exit();
});
"""
ASKS = {
    "bash": ("bash", "read -r line </dev/tty; echo $$line >$@"),
    "by another stream": ("sh", "read -r line <&2; echo $$line >$@"),
    "node": ("node", "node asks.js </dev/stderr"),
    "node by another stream": ("node", "node reads.js"),
}


@pytest.mark.parametrize(("program", "step"), ASKS.values(), ids=ASKS)
def test_a_step_that_asks_the_user_at_the_terminal_is_run(program, step, workspace, velo):
    root = workspace(toml=TOML)
    tool("script"), tool(program)
    (root / "asks.js").write_text(NODE_ASKS)
    (root / "reads.js").write_text(NODE_READS)
    shell = "SHELL = /bin/bash\n" if program == "bash" else ""
    (root / "Makefile").write_text(f"{shell}all: build/line\nbuild/line:\n\t@{step}\n")
    typed = "cat answer; while [ ! -e build/line ]; do :; done"
    command = f"({typed}) | script -qefc 'make </dev/null' /dev/null"
    for answer in "first", "second", "third":
        shutil.rmtree(root / "build", ignore_errors=True)
        (root / "build").mkdir()
        (root / "answer").write_text(f"{answer}\n")

        velo.exec("sh", "-c", command, cwd=root)

        assert (root / "build/line").read_text() == f"{answer}\n"


def test_what_node_says_to_a_terminal_is_said_again_unless_that_is_wider(workspace, velo):
    root = workspace(toml=TOML)
    tool("script"), tool("node")
    (root / "says.js").write_text(NODE_SAYS)
    named = "unexport MAKE_TERMOUT MAKE_TERMERR\n"  # a terminal that has another name counts
    (root / "Makefile").write_text(f"{named}build/out:\n\t@node says.js </dev/null\n")
    for columns in 80, 90:
        terminal = TERMINAL.replace("'make -s'", f"'unset COLUMNS; stty cols {columns}; make -s'")
        native, *hosted = said_by_three(velo, root, terminal)

        assert native == [f"{columns} columns", "an error", "the end"]
        assert hosted == [native] * 3
        assert replayed(velo, root) == {"out"}, velo.run("explain", cwd=root).stdout


def test_what_a_compiler_cuts_at_the_edge_of_a_terminal_is_cut_at_the_edge_of_this_one(
    workspace, velo
):
    root = workspace(toml=TOML)
    tool("script"), tool("gcc")
    values = " ".join(f"int long_name_of_a_value_{number} = {number};" for number in range(9))
    (root / "odd.c").write_text(f"int odd(void) {{ {values} return 0; }}\n")
    (root / "Makefile").write_text("build/odd.o:\n\tgcc -Wall -c odd.c -o $@\n")
    said = {}
    for columns in 200, 60, 60, 200:
        terminal = TERMINAL.replace("'make -s'", f"'unset COLUMNS; stty cols {columns}; make -s'")
        native, *hosted = said_by_three(velo, root, terminal)

        assert hosted == [native] * 3
        assert replayed(velo, root) == {"odd.o"}
        said[columns] = native
    assert said[200] != said[60]


def test_what_a_thread_was_saying_when_its_process_ended_is_said_by_each_build(workspace, velo):
    root = workspace(toml=TOML)
    run_native(tool("gcc"), "-w", "-pthread", str(SOURCE), "-o", "saying", cwd=root)
    (root / "Makefile").write_text(MAKE.format(targets="build/left"))
    # Who reads begins when the program has ended.
    command = "make -s | (while [ ! -e build/left ]; do :; done; cat >said)"

    native, *hosted = said_by_three(velo, root, command)

    assert native and set(native[0]) == {"x"}
    assert all(each and set(each[0]) == {"x"} for each in hosted)


def test_what_uses_a_descriptor_that_make_had_open_is_run(workspace, velo):
    root = workspace(toml=TOML)
    (root / "Makefile").write_text(GIVEN_MAKE)
    (root / "one").write_text("1\n")
    for build in "first", "second":
        shutil.rmtree(root / "build", ignore_errors=True)
        (root / "build").mkdir()
        (root / "input").write_text(f"{build}\n")
        time.sleep(0.05)
        velo.exec("sh", "-c", "make 5<input 6>>out", cwd=root)

        assert (root / "build/read").read_text() == f"{build}\n"
    assert (root / "out").read_text() == "w\nw\n"
    last = json.loads(velo.run("stats", "--json", cwd=root).stdout)["last"]
    assert (last["replayed"], last["not_cached"]) == (1, 2)
