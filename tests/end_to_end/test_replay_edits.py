"""Steps whose inputs are not the bytes of a file: where a symlink leads that a shell went through,
times that a tool tells in words, owners, variables that count for nothing otherwise.

In: a project of make with a step for each such thing, and an edit of each. Out: before the edits
every step is answered, after them none that a native build would have made otherwise.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from support.harness import tool
from support.replayed import TOML, until_old


class Row(NamedTuple):
    """In a directory of its own: what is there, the step, which writes to $$O, and the edit."""

    there: str
    step: str
    edit: str


# What the child does before its program begins, nobody sees: libc does it.
SPAWN = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **words)
{
    char *into[] = {"cat", "x", NULL}, *from[] = {"cat", NULL};
    const int enters = strcmp(words[1], "-C") == 0;
    posix_spawn_file_actions_t actions;
    int child, status;
    posix_spawn_file_actions_init(&actions);
    if (enters)
        posix_spawn_file_actions_addchdir_np(&actions, words[2]);
    else
        posix_spawn_file_actions_addopen(&actions, 0, words[2], O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, words[3], O_CREAT | O_TRUNC | O_WRONLY, 0644);
    char **argv = enters ? into : from;
    return count != 4 || posix_spawnp(&child, "cat", &actions, NULL, argv, environ) != 0 ||
           waitpid(child, &status, 0) != child || status;
}
"""
TWO = "mkdir v1 v2; echo one > v1/x; echo two > v2/x; ln -s v1 cur"
OLD = "echo a > a; echo b > b; touch -d 2005-01-01 a b"
ASKS = "test a -nt b && echo newer || echo older"
NEWER, LATER = f"{OLD}; echo '{ASKS}' > g", "touch -d 2007-01-01 a"
ROWS = {
    "cd": Row(TWO, "cd cur && cat x > $$O", "ln -sfn v2 cur"),
    "cd-further": Row(f"{TWO}; mkdir v1/s v2/s", "cd cur/s && cat ../x > $$O", "ln -sfn v2 cur"),
    "xargs": Row("echo 1 > a", "echo a | xargs cat > $$O", "echo 2 > a"),
    "cd-env": Row(TWO, "env -C cur cat x > $$O", "ln -sfn v2 cur"),
    "cd-in-a-script": Row(
        f"{TWO}; echo 'cd cur; cat x' > s.sh", "sh s.sh > $$O", "ln -sfn v2 cur"
    ),
    "cd-to-none": Row(
        ":", "cd opt 2> /dev/null && echo yes > $$O || echo no > $$O", "mkdir opt; sleep .1"
    ),
    "cd-to-a-file": Row(
        "touch f", "cd f 2> /dev/null && echo in > $$O || echo no > $$O", "rm f; mkdir f"
    ),
    "fchdir": Row(
        f"""{TWO}; echo 'opendir(D, "cur"); chdir(D); open(F, "x"); print <F>;' > f.pl""",
        "perl f.pl > $$O",
        "ln -sfn v2 cur",
    ),
    "spawn-in": Row(TWO, "../spawn -C cur $$O", "ln -sfn v2 cur"),
    "spawn-open": Row("echo 1 > in", "../spawn -- in $$O", "echo 2 > in"),
    "diff-ur": Row(
        "mkdir d e; echo a > d/f; echo b > e/f; touch -d 2005-01-01 d/f e/f",
        "diff -ur d e > $$O; true",
        "touch -d 2001-01-01 d/f",
    ),
    "diff-of-one-file": Row(
        "echo 1 > a; ln -s a b; ln a c",
        "(diff -q a b && diff a c && echo same) > $$O; true",
        "rm b c; echo 2 > b; echo 3 > c",
    ),
    "diff-of-one-directory": Row(
        f"{TWO}; echo 3 > v1/y", "diff -rq v1 cur > $$O; true", "ln -sfn v2 cur"
    ),
    "opendir-of-a-file": Row(
        """touch d; echo 'print opendir(D, "d") ? "in" : "no"' > d.pl""",
        "perl d.pl > $$O",
        "rm d; mkdir d",
    ),
    "diff-in-a-script": Row(
        f"{OLD}; echo 'diff -u a b; true' > s.sh", "sh s.sh > $$O", "touch -d 2001-01-01 a"
    ),
    "newer-quoted": Row(
        f"{OLD}; touch b",
        '[ a "-ot" b ] && echo old > $$O || echo new > $$O',
        "touch -d 2101-01-01 a",
    ),
    "newer-by-a-variable": Row(
        f"{OLD}; touch b; echo 'o=ot; [ a -$o b ] && echo old || echo new' > s.sh",
        "sh s.sh > $$O",
        "touch -d 2101-01-01 a",
    ),
    "ar-in-a-script": Row(
        f"{OLD}; echo 'ar -r -c -U $1 a' > s.sh",
        "sh s.sh $$O 2> /dev/null",
        "touch -d 2001-01-01 a",
    ),
    "timestamp": Row(
        "echo 'char *t = __TIMESTAMP__;' > a.c; touch -d 2005-01-01 a.c",
        "gcc -E -P a.c -o $$O",
        "touch -d 2001-01-01 a.c",
    ),
    "appended": Row("echo 1 > a", "cat a >> $$O; cat a >> $$O", "echo 2 > a"),
    "in-place": Row("echo 1 > a", "cp a $$O; sed -i s/1/3/ $$O", "echo 12 > a"),
    "link-time": Row(
        "echo 'int main(void) { return 0; }' > m.c",
        "gcc -O2 -flto m.c -o $$O",
        "echo 'int main(void) { return 1; }' > m.c",
    ),
    "uncounted": Row(":", "echo $$SSH_CONNECTION > $$O", ":"),
    "text-by-a-pipe": Row(NEWER, "cat g | sh > $$O", LATER),
    "text-of-eval": Row(NEWER, 'eval "$$(cat g)" > $$O', LATER),
    "text-of-eval-later": Row(NEWER, 'x=$$(cat g); eval "$$x" > $$O', LATER),
    "text-of-a-variable": Row(OLD, 'eval "$$GEN" > $$O', LATER),
    "text-of-a-call": Row(
        f"{OLD}; echo test a -nt b > g", "$$(cat g) && echo newer > $$O || echo older > $$O", LATER
    ),
    "text-of-awk": Row(NEWER, "awk '{ system($$0) }' g > $$O", LATER),
    "text-of-sed": Row(NEWER, "sed e g > $$O", LATER),
    "text-removed": Row(NEWER, "cp g t.sh && sh t.sh > $$O && rm t.sh", LATER),
    "newer-whole-in-a-variable": Row(
        OLD, "o=-nt; [ a $$o b ] && echo newer > $$O || echo older > $$O", LATER
    ),
    "uncounted-by-a-pipe": Row("echo 'echo $SSH_CONNECTION' > g", "cat g | sh > $$O", ":"),
    "uncounted-in-parentheses": Row(
        "echo 'echo $SSH_CONNECTION' > g", "(. ./g; echo) > $$O", ":"
    ),
}  # fmt: skip
REOPENS = r"""
#include <stdio.h>
int main(int count, char **words)
{
    if (count != 3 || !freopen(words[1], "r", stdin) || !freopen(words[2], "w", stdout))
        return 1;
    for (int c; (c = getchar()) != EOF;)
        putchar(c);
    return 0;
}
"""
CALLS_F = r"""
#include <stdio.h>
int f(void);
int main(void) { printf("%d\n", f()); }
"""
LOADS_F = r"""
#include <dlfcn.h>
#include <stdio.h>
int main(void)
{
    void *library = dlopen("./q.so", RTLD_NOW);
    printf("%d\n", ((int (*)(void))dlsym(library, "f"))());
    return dlclose(library);
}
"""


def program(text: str, words: str) -> str:
    return f"cat > p.c <<'END'{text}END\ngcc p.c {words} -o p"


def library(answer: int, path: str) -> str:
    return f"echo 'int f(void) {{ return {answer}; }}' > q.c; gcc -shared -fPIC q.c -o {path}"


UNSEEN = {  # by calls that libc makes of itself, and by the loader
    "freopen": Row(f"{program(REOPENS, '')}; echo 1 > in", "./p in $$O", "echo 2 > in"),
    "library": Row(
        f"mkdir l; {library(1, 'l/libq.so')}; {program(CALLS_F, '-Ll -lq')}",
        "LD_LIBRARY_PATH=l ./p > $$O",
        library(2, "l/libq.so"),
    ),
    "library-before-it": Row(
        f"mkdir l l0; {library(1, 'l/libq.so')}; {program(CALLS_F, '-Ll -lq')}",
        "LD_LIBRARY_PATH=l0:l ./p > $$O",
        library(2, "l0/libq.so"),
    ),
    "library-of-a-moment": Row(
        f"{library(1, 'q.so')}; {program(LOADS_F, '')}", "./p > $$O", library(2, "q.so")
    ),
}
WITH_M4 = {
    "m4-newer": Row(f"{OLD}; echo 'changequote([,])esyscmd([{ASKS}])' > g", "m4 g > $$O", LATER),
    "m4-uncounted": Row("echo 'esyscmd(echo $SSH_CONNECTION)' > g", "m4 g > $$O", ":"),
}
AS_ROOT = {
    "owner": Row("touch a", "[ -O a ] && echo mine > $$O || echo other > $$O", "chown 1000 a"),
}
WITH_CMAKE = {
    "cmake-newer": Row(
        f'{OLD}; touch b; printf "if($PWD/a IS_NEWER_THAN $PWD/b)\\nmessage(newer)\\nelse()\\n'
        'message(older)\\nendif()\\n" > n.cmake',
        "cmake -P n.cmake > $$O 2>&1",
        "touch -d 2101-01-01 a",
    ),
    "cmake-tar": Row(
        OLD, "unset SOURCE_DATE_EPOCH; cmake -E tar cf $$O a", "touch -d 2001-01-01 a"
    ),
    "cmake-uncounted": Row(
        """echo 'set(v SSH)
message($ENV{${v}_CONNECTION})' > n.cmake""",
        "cmake -P n.cmake > $$O 2>&1",
        ":",
    ),
    "cmake-chdir": Row(TWO, "cmake -E chdir cur cat x > $$O", "ln -sfn v2 cur"),
}


def build(velo, root: Path, *, ssh: str) -> dict[str, bytes]:
    for path in (root / "build").iterdir():
        path.unlink()
    until_old(root.rglob("*"))
    env = {"PWD": str(root), "SSH_CONNECTION": ssh, "SOURCE_DATE_EPOCH": "1000000", "GEN": ASKS}
    if velo is None:
        subprocess.run(["make"], cwd=root, env={**os.environ, **env}, check=True)
    else:
        velo.exec("make", cwd=root, env=env)
    return {path.name: path.read_bytes() for path in (root / "build").iterdir()}


def in_each(rows: dict[str, Row], root: Path, scripts: dict[str, str]) -> None:
    for name in rows:
        (root / name).mkdir(exist_ok=True)
        subprocess.run(["sh", "-ec", scripts[name]], cwd=root / name, check=True)


TABLES = {
    "plain": ROWS,
    "unseen": UNSEEN,
    "cmake": WITH_CMAKE,
    "m4": WITH_M4,
    "as root": AS_ROOT,
}


@pytest.mark.parametrize("rows", TABLES.values(), ids=TABLES)
def test_an_edit_of_what_a_step_looked_at_is_seen(velo, workspace, rows):
    if rows is WITH_CMAKE:
        tool("cmake")
    if rows is WITH_M4:
        tool("m4")
    if rows is AS_ROOT and os.geteuid() != 0:
        pytest.skip("only root gives a file to another user")
    tool("gcc"), tool("perl")
    root = workspace(toml=TOML)
    (root / "build").mkdir()
    rules = (
        f"build/{name}:\n\t@cd {name} && O=$(CURDIR)/$@ && {{ {row.step}; }}\n"
        for name, row in rows.items()
    )
    (root / "Makefile").write_text(
        f"all: {' '.join(f'build/{name}' for name in rows)}\n" + "".join(rules)
    )
    (root / "spawn.c").write_text(SPAWN)
    subprocess.run(["gcc", "spawn.c", "-o", "spawn"], cwd=root, check=True)
    in_each(rows, root, {name: row.there for name, row in rows.items()})
    build(velo, root, ssh="1")
    build(velo, root, ssh="1")  # where chance was asked for, two must agree
    before = build(velo, root, ssh="1")
    explained = json.loads(velo.run("explain", "--json", cwd=root).stdout)["steps"]
    run = [each for each in explained if each["outcome"] != "replayed" and rows is not WITH_CMAKE]

    in_each(rows, root, {name: row.edit for name, row in rows.items()})
    after = build(velo, root, ssh="2")
    native = build(None, root, ssh="2")

    assert not run  # but cmake asks for times up to /tmp, where others are at work
    assert len(explained) == len(rows)
    assert sorted(before) == sorted(rows)
    assert after == native
    assert [name for name in rows if before[name] == native[name]] == []  # else it shows nothing


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another user")
def test_a_step_that_gives_a_file_away_is_run(velo, workspace):
    root = workspace(toml=TOML)
    (root / "build").mkdir()
    (root / "give.pl").write_text("chown(1000, -1, $ARGV[0]);\n")
    (root / "Makefile").write_text(f"build/f:\n\ttouch $@; {tool('perl')} give.pl $@\n")
    owners = []
    for _ in range(3):
        build(velo, root, ssh="1")
        owners.append((root / "build/f").stat().st_uid)

    assert owners == [1000] * 3


def test_a_generator_may_stand_in_a_directory_that_changes(velo, workspace):
    # A program whose questions for times count enters a directory: it heard of no times there.
    root = workspace(toml=TOML)
    (root / "build/d").mkdir(parents=True)
    (root / "in").write_text("1\n")
    script = 'chdir("build/d"); open(I, "../../in"); open(O, ">", "../f"); print O <I>;\n'
    (root / "g.pl").write_text(script)
    (root / "Makefile").write_text(f"build/f: in\n\t{tool('perl')} g.pl\n")
    for turn in range(4):
        (root / "build/f").unlink(missing_ok=True)
        (root / f"build/d/{turn}").touch()
        until_old(root.rglob("*"))
        velo.exec("make", cwd=root, env={"PWD": str(root)})
    last = json.loads(velo.run("stats", "--json", cwd=root).stdout)["last"]

    assert (last["replayed"], last["run"]) == (1, 0)


# Each means a time, or an owner, to another program.
NO_TIMES = {
    "grep": "grep -r 1 ../in > $out",
    "sort": "sort -r -u ../in > $out",
    "uniq": "uniq -u ../in $out",
    "echo": "echo -u -r > $out",
    "sed": "sed -r s/1/2/ ../in > $out",
    "rm": "cp -r ../in $out.x && cat $out.x > $out && rm -r $out.x",
    "ld": "printf 'int i;' | gcc -x c -c - -o $out.o && ld -r $out.o -o $out && rm -f $out.o",
    "test": "if [ ../in -nt ../older ]; then echo y; else echo n; fi > $out",
    "update": "cp -u ../in $out",
}


def built_thrice(velo, root: Path, steps: dict[str, str]) -> list[dict[str, str]]:
    """What became of each by then; they stand in the directory that they write to."""
    rules = "rule step\n  command = $cmd\n" + "".join(
        f"build {name}: step\n  cmd = {command.replace('$out', name)}\n"
        for name, command in steps.items()
    )
    # Not what a tool for versions of Python has put there, which is a script.
    path = f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"
    env = {"PWD": str(root), "PATH": path}
    for _ in range(3):
        shutil.rmtree(root / "build", ignore_errors=True)
        (root / "build").mkdir()
        (root / "build/build.ninja").write_text(rules)
        until_old(root.rglob("*"))
        velo.exec(tool("ninja"), "-C", "build", "-j1", cwd=root, env=env)
    became = json.loads(velo.run("explain", "--json", cwd=root).stdout)["steps"]
    assert len(became) == len(steps)
    return became


def test_a_step_whose_options_mean_no_times_may_stand_in_a_directory_that_changes(velo, workspace):
    tool("gcc")
    root = workspace(toml=TOML)
    for name in ("older", "in"):
        (root / name).write_text("1\n")

    became = built_thrice(velo, root, NO_TIMES)

    assert [each for each in became if each["outcome"] != "replayed"] == []


# Options behind the script are the script's; those before it are the interpreter's.
SCRIPTS = {
    "config": "python3 -B ../src/gen.py -c ../in $out",
    "root": "python3 -B ../src/gen.py -r ../in $out",
    "valued": "python3 -W ignore -X utf8 ../src/gen.py -e ../in $out",
    "wrapper": "python3 ../src/wrap.py -c ../src/a.c -o $out",
    "module": "cd ../src && python3 -B -m gen -c ../in ../build/$out",
    "perl": "perl -I .. ../src/gen.pl -e ../in $out",
    "globbed": "python3 -B ../src/globs.py $out",
    "filter": "perl -pe 's/1/2/' ../in > $out",
    "lines": "perl -ne 'print if /1/' ../in > $out",
}
ASKING = {
    "text": "python3 -c 'import time; print(time.time())' > $out",
    "unbuffered": "python3 -u ../src/now.py -c > $out",
    "now_module": "cd ../src && python3 -B -m now > ../build/$out",
    "perl_text": "perl -e 'print time' > $out",
    "perl_lines": "perl -pe 's/1/time/e' ../in > $out",
}


def test_what_an_interpreter_runs_is_told_before_what_that_is_told(velo, workspace):
    tool("perl"), tool("gcc")
    root = workspace(toml=TOML)
    copy = "import sys\nopen(sys.argv[3], 'w').write(open(sys.argv[2]).read())\n"
    texts = {
        "in": "1\n",
        "src/a.c": "int a;\n",
        "src/gen.py": copy,
        "src/globs.py": "import glob, sys\n"
        "open(sys.argv[1], 'w').write(str(sorted(glob.glob('../src/**', recursive=True))))\n",
        "src/now.py": "import time\nprint(time.time())\n",
        "src/wrap.py": "import os, sys\nos.execvp('gcc', ['gcc', *sys.argv[1:]])\n",
        "src/gen.pl": 'open(I, $ARGV[1]); open(O, ">", $ARGV[2]); print O <I>;\n',
    }
    (root / "src").mkdir()
    for name, text in texts.items():
        (root / name).write_text(text)

    became = built_thrice(velo, root, SCRIPTS | ASKING)

    of = {each["step"]: (each["outcome"], each["reason"]) for each in became}
    named = {name: of[step.replace("$out", name)] for name, step in (SCRIPTS | ASKING).items()}
    assert {name for name, (outcome, _) in named.items() if outcome == "replayed"} == set(SCRIPTS)
    assert {outcome for name, (outcome, _) in named.items() if name in ASKING} == {"not cached"}


def test_python_in_an_environment_is_answered_as_python_is(workspace, velo):
    root = workspace(toml=TOML)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "env"], cwd=root, check=True)
    library = root / f"env/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    (library / "more.pth").write_text("import installed\n")
    (library / "installed.py").write_text("import time\ntime.time()\n")
    (root / "in").write_text("1\n")
    copy = "import sys\nopen(sys.argv[2], 'w').write(open(sys.argv[1]).read())\n"
    (root / "copy.py").write_text(copy)
    (root / "now.py").write_text("import time\nprint(time.time())\n")
    python = "../env/bin/python -B"

    became = built_thrice(
        velo, root, {"a": f"{python} ../copy.py ../in $out", "b": f"{python} ../now.py > $out"}
    )

    assert [each["outcome"] for each in became] == ["not cached", "replayed"], became


def test_cmake_may_try_to_make_each_directory_above_its_own(workspace, velo):
    tool("cmake")
    root = workspace(toml=TOML)
    (root / "in").write_text("1\n")
    made = f"cmake -E make_directory {root}/build/d/e && cp ../in $out"

    became = built_thrice(velo, root, {"a": made})

    assert [each["outcome"] for each in became] == ["replayed"], became
    assert (root / "build/d/e").is_dir()
