"""What a step is given besides files: a umask, a watcher of its directory, headers that a compiler
compiled before, a file system of two layers.

In: small projects of make. Out: what a replayed build leaves is what a native one leaves, and
whoever watches hears of it.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from support.harness import run_native, tool
from support.replayed import TOML, until_old

WATCHER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>
int main(void)
{
    char events[1 << 16];
    const int fd = inotify_init1(IN_NONBLOCK);
    inotify_add_watch(fd, "build", IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE);
    if (system("make >&2") != 0)
        return 1;
    for (ssize_t got; (got = read(fd, events, sizeof events)) > 0;)
        for (char *at = events; at < events + got;) {
            struct inotify_event *each = (struct inotify_event *)at;
            printf("%s %s\n", each->mask & IN_CLOSE_WRITE ? "whole" : "there", each->name);
            at += sizeof *each + each->len;
        }
}
"""
TELL = r"""
#include <stdio.h>
#include <sys/stat.h>
int main(int count, char **words)
{
    struct stat found;
    return count != 2 || stat(words[1], &found) != 0 || printf("%u\n", found.st_gid) < 0;
}
"""
PRECOMPILED = {
    "gcc": ("gcc", "build/pre.h.gch", "-include build/pre.h"),
    "clang": ("clang", "build/pre.h.pch", "-include-pch build/pre.h.pch"),
}


def counts(velo, root: Path) -> tuple[int, int, int]:
    last = json.loads(velo.run("stats", "--json", cwd=root).stdout)["last"]
    return last["replayed"], last["run"], last["not_cached"]


def clean(root: Path) -> None:
    for path in (root / "build").iterdir():
        path.unlink()


def run(velo, root: Path, *command: str) -> str:
    until_old(root.rglob("*"))
    here = {"PWD": str(root)}  # else a shell says so of itself, and steps are others below it
    return velo.exec(*(command or ("make",)), cwd=root, env=here).stdout


@pytest.fixture
def project(workspace):
    """A workspace with an empty build directory, and a Makefile."""

    def make(makefile: str, **texts: str) -> Path:
        root = workspace(toml=TOML)
        (root / "build").mkdir()
        (root / "Makefile").write_text(makefile)
        for name, text in texts.items():
            (root / name.replace("_", ".")).write_text(text)
        return root

    return make


def test_a_step_with_another_umask_is_run(velo, project):
    root = project("build/a.o: a.c\n\tgcc -c a.c -o $@\n", a_c="int a;\n")
    modes = []
    for umask in ("022", "022", "077", "077"):
        clean(root)
        run(velo, root, "sh", "-c", f"umask {umask}; exec make")
        modes.append((oct((root / "build/a.o").stat().st_mode & 0o777), counts(velo, root)[0]))

    assert modes == [("0o644", 0), ("0o644", 1), ("0o600", 0), ("0o600", 1)]


@pytest.mark.parametrize(
    ("script", "is_kept"),
    [
        ("open('build/out', 'w').close()", True),
        ("open('build/out', 'w').write(input())", False),
        ("", False),
    ],
    ids=["it reads nothing", "it reads a line", "it is given its script so"],
)
def test_a_python_that_buffers_nothing_may_read_its_input(velo, project, script, is_kept):
    python = f"python3 -u {'script.py' if script else '> build/out'}"
    root = project(f"all:\n\t{python}\n", script_py=script)

    for _ in range(3):
        run(velo, root, "sh", "-c", "echo 'print(1)' | make")

    assert counts(velo, root)[0] == is_kept


def test_a_python_that_imports_logging_is_kept_until_it_logs(velo, project):
    script = "import logging, sys\nopen('build/out', 'w').close()\n"
    root = project("all:\n\tpython3 script.py\n", script_py=script)
    for _ in range(3):
        run(velo, root)
    replayed = counts(velo, root)
    (root / "script.py").write_text(f"{script}logging.warning('')\n")
    for _ in range(3):
        run(velo, root)

    assert (replayed, counts(velo, root)) == ((1, 0, 0), (0, 0, 1))


def test_an_output_may_be_named_by_way_of_another_directory(velo, project):
    """Until that directory is a symlink, and the name leads elsewhere."""
    root = project("all:\n\tcd sub && gcc -c ../a.c -o ../build/a.o\n", a_c="int a;\n")
    (root / "sub").mkdir()
    run(velo, root)
    clean(root)
    run(velo, root)
    replayed, made = counts(velo, root), (root / "build/a.o").exists()

    clean(root)
    (root / "sub").rmdir()
    for name in ("sub", "build"):
        (root / "other" / name).mkdir(parents=True)
    (root / "other/a.c").write_text("int other;\n")
    (root / "sub").symlink_to("other/sub")
    run(velo, root)

    assert replayed == (1, 0, 0) and made
    assert counts(velo, root)[0] == 0 and not (root / "build/a.o").exists()
    assert b"other" in (root / "other/build/a.o").read_bytes()


def test_who_watches_hears_of_what_is_put_back(velo, project):
    root = project("build/a.o: a.c\n\tgcc -c a.c -o $@\n", a_c="int a;\n", watch_c=WATCHER)
    run_native("gcc", "watch.c", "-o", "watch", cwd=root)
    run(velo, root)
    clean(root)

    said = run(velo, root, "./watch").split("\n")

    assert counts(velo, root)[0] == 1
    assert [line for line in said if line] == ["there a.o", "whole a.o"]


@pytest.mark.parametrize("compiler", PRECOMPILED)
def test_a_precompiled_header_is_as_its_compiler_wants_it(velo, project, compiler):
    """clang keeps the times of headers in there, and refuses it when they are others."""
    tool(compiler)
    command, header, use = PRECOMPILED[compiler]
    root = project(
        f"build/a.o: a.c {header}\n\t{command} {use} -c a.c -o $@\n"
        f"{header}: pre.h\n\t{command} -x c-header pre.h -o $@\n",
        pre_h="enum { PRE = 1 };\n",
        a_c="int a = PRE;\n",
    )
    run(velo, root)
    clean(root)
    run(velo, root)
    assert counts(velo, root) == (2, 0, 0)
    objects = []

    for edit in (
        "echo '// more' >> a.c",
        "touch pre.h; echo '// yet' >> a.c",
        "echo 'int more;' >> pre.h; touch a.c",
    ):
        run_native("sh", "-c", edit, cwd=root)
        run(velo, root)
        hosted = (root / "build/a.o").read_bytes()
        clean(root)
        run_native("make", cwd=root)
        objects.append(hosted == (root / "build/a.o").read_bytes())
        run(velo, root)

    assert objects == [True, True, True]


@pytest.mark.parametrize(
    ("command", "edit"),
    [
        ("stat -c %i f/in", "cp -p f/in t; mv t f/in"),
        ("stat -c %h f/in", "ln f/in in.2"),
        ("./tell f/in", "chgrp 1 f/in"),
        ("if [ f/in -ef f/other ]; then echo y; else echo n; fi", "ln -f f/in f/other"),
        ("sh same.sh", "ln -f f/in f/other"),
        ("sh newer.sh", "touch -d 2005-05-05 f/in"),
    ],
    ids=["inode", "links", "group", "same", "same in a script", "newer in a script"],
)
def test_what_a_step_was_told_of_a_file_is_what_it_would_be_told(velo, project, command, edit):
    if "chgrp" in edit and os.geteuid() != 0:
        pytest.skip("needs root: a file is given to another group")
    makefile = f"build/f: ; {command} >$@\nbuild/g: ; {command} >$@\n"
    compare = "if [ f/in -{} f/other ]; then echo y; else echo n; fi\n"
    scripts = {"same_sh": compare.format("ef"), "newer_sh": compare.format("nt")}
    root = project(makefile, tell_c=TELL, **scripts)
    run_native("gcc", "tell.c", "-o", "tell", cwd=root)
    (root / "f").mkdir()  # a shell asks for the times of where it is
    for name in ("f/in", "f/other"):
        (root / name).write_text("same\n")
        os.utime(root / name, (1e9, 1e9))
    hits = []
    for change in (":", ":", edit):
        run_native("sh", "-c", change, cwd=root)
        clean(root)
        run(velo, root)
        hits.append(counts(velo, root)[0])

    run_native("make", "build/g", cwd=root)
    assert hits == [0, 1, 0]
    assert (root / "build/f").read_text() == (root / "build/g").read_text()


def test_a_workspace_in_shared_memory_is_replayed(velo, isolated):
    root = isolated.with_name(f"{isolated.name}-here")
    (root / "build").mkdir(parents=True)
    try:
        (root / "velo.toml").write_text(TOML)
        (root / "a.c").write_text("int a;\n")
        (root / "Makefile").write_text("build/a.o: a.c\n\tgcc -c a.c -o $@\n")
        run(velo, root)
        (root / "build/a.o").rename(root / "before")

        run(velo, root)

        assert counts(velo, root) == (1, 0, 0)
        assert (root / "build/a.o").read_bytes() == (root / "before").read_bytes()
        assert velo.run("stop", cwd=root).returncode == 0
    finally:
        shutil.rmtree(root)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: an overlay is mounted")
def test_what_is_edited_in_an_overlay_is_seen(velo, project):
    root = project("build/f: over/in\n\tcat over/in >$@\n")
    for name in ("over", "lower", "upper", "work"):
        (root / name).mkdir()
    (root / "lower/in").write_text("one\n")
    os.utime(root / "lower/in", (1e9, 1e9))
    layers = "lowerdir=lower,upperdir=upper,workdir=work"
    run_native("mount", "-t", "overlay", "over", "-o", layers, "over", cwd=root)
    try:
        said = []
        for edit in (":", ":", "printf 'two\\n' > over/in; touch -d @1000000000 over/in", ":"):
            run_native("sh", "-c", edit, cwd=root)
            clean(root)
            run(velo, root)
            said.append(((root / "build/f").read_text(), counts(velo, root)[0]))
    finally:
        run_native("umount", "-l", "over", cwd=root)

    assert said == [("one\n", 0), ("one\n", 1), ("two\n", 0), ("two\n", 1)]
