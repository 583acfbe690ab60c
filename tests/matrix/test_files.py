"""The matrix, git and files: tools that move whole trees about, and two that share one file."""

from __future__ import annotations

import io
import random
import subprocess
import tarfile
from pathlib import Path

import pytest

from support.matrix import LONG_AGO_NS, Bench, Row

pytestmark = pytest.mark.matrix

COMMITS = 100
DIRECTORIES, FILES_EACH = 250, 200  # with links and directories over 50,000 entries
WHEN = "1600000000 +0000"
GIT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in
       (("NAME", "a"), ("EMAIL", "a@b"), ("DATE", WHEN))},
}  # fmt: skip
# Sizes and link counts of directories are the file system's own business.
LIST = "find * -printf '%p %y %m %s %n %l\\n' | sed '/ d /s/ [0-9]* [0-9]* $//' | sort"


# gc would rewrite reflogs in the order in which it finds their names, which is any file system's
# own, so the row has them rewritten in one that it gives.
KEEPS_LOGS = "-c gc.reflogExpire=never -c gc.reflogExpireUnreachable=never"


def repository(place: Path) -> None:
    """`origin.git`, 100 commits over some thousand files; equal each time, down to its hashes."""
    subprocess.run(
        ["git", "init", "-q", "--bare", "-b", "main", "origin.git"], cwd=place, check=True
    )
    command = ["git", "-C", "origin.git", "fast-import", "--quiet"]
    subprocess.run(command, cwd=place, input=_history(), text=True, check=True)
    subprocess.run(
        ["git", "-C", "origin.git", "repack", "-adq", "--threads=1"], cwd=place, check=True
    )


def _history() -> str:
    chance, files, out = random.Random(7), {}, []
    for commit in range(COMMITS):
        changed: dict[str, str | None] = {}
        for _ in range(60 if commit else 2000):
            kind = chance.random()
            if files and kind < 0.6:
                name = chance.choice(list(files))
                changed[name] = None if kind < 0.1 else f"line {chance.random()}\n" * 20
            else:
                name = f"d{chance.randrange(40)}/e{chance.randrange(5)}/f{chance.randrange(10**6)}"
                changed[name] = f"new {name} {chance.random()}\n"
            files.pop(name, None)
            if (text := changed[name]) is not None:
                files[name] = text
        out.append(f"commit refs/heads/main\ncommitter a <a@b> {WHEN}\ndata 1\nc\n")
        for name, text in changed.items():
            mode = "100755" if len(name) % 7 == 0 else "100644"
            written = text is not None and f"M {mode} inline {name}\ndata {len(text)}\n{text}\n"
            out.append(written or f"D {name}\n")
    return "".join(out)


def archive(place: Path) -> None:
    """`many.tar`: files, executables, symlinks and hard links in a flat crowd of directories."""
    (place / "outside").mkdir()
    (place / "build").mkdir()
    with tarfile.open(place / "many.tar", "w") as tar:
        _add(tar, "many", tarfile.DIRTYPE)
        for number in range(DIRECTORIES):
            directory = f"many/d{number:03}"
            _add(tar, directory, tarfile.DIRTYPE)
            for index in range(FILES_EACH):
                _add(tar, f"{directory}/f{index:03}", tarfile.REGTYPE, text=f"{index}\n" * index)
            _add(tar, f"{directory}/symlink", tarfile.SYMTYPE, target="f000")
            _add(tar, f"{directory}/link", tarfile.LNKTYPE, target=f"{directory}/f001")


def _add(tar: tarfile.TarFile, name: str, kind: bytes, *, text: str = "", target: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, target, len(text)
    member.mode = 0o755 if kind == tarfile.DIRTYPE or name.endswith("0") else 0o640
    member.mtime = LONG_AGO_NS // 10**9 + len(text)
    tar.addfile(member, io.BytesIO(text.encode()))


def nothing(place: Path) -> None:
    (place / "build").mkdir()


SQLITE = """
import os, sqlite3
first, second = sqlite3.connect("build/db"), sqlite3.connect("build/db", timeout=0.01)
first.execute("begin immediate")
first.execute("insert into t values (9, 9)")
try:
    second.execute("begin immediate")
except sqlite3.OperationalError as error:
    print(error)
print(second.execute("select count(*) from t").fetchone())
first.commit()
print(second.execute("select count(*) from t").fetchone(), sorted(os.listdir("build")))
"""

ROWS = [
    Row(
        name="git: clone, checkout between distant commits, stash, worktree, clean, gc",
        tools=("git", "find", "tar"),
        prepare=repository,
        environment=GIT,
        steps=(
            "mkdir build && cd build && git clone -q --no-hardlinks ../origin.git repo && cd repo"
            " && git log --oneline | wc -l && git status --short",
            "cd build/repo && for at in HEAD~90 main~20 main; do"
            " git checkout -q $at && git status --short && find . -name .git -prune -o -print"
            " | wc -l; done",
            "cd build/repo && git worktree add -q ../tree main~50 && git -C ../tree status --short"
            " && find d1 -name 'f1*' -delete && echo x >untracked && git status --short"
            " && git stash -q && git stash pop -q && git add -A && git commit -qm change"
            " && git diff --stat HEAD~5 | tail -1",
            "cd build/repo && mkdir -p junk/1/2 && echo y >junk/1/2/y && git clean -fdx | sort"
            f" && git reflog expire main HEAD && git {KEEPS_LOGS} gc -q"
            " && git fsck && git count-objects && git rev-parse HEAD^{tree}"
            " && git archive HEAD | tar t | wc -l && git -C ../tree log --oneline | wc -l"
            " && git worktree remove ../tree && git worktree list | wc -l",
        ),
        # The index remembers inode numbers and change times, so one look at each file is the tool's
        # own way to find out that nothing changed; it does not write the index for `status`.
        idle="cd build/repo && git --no-optional-locks status --short && git fsck && echo clean",
        idle_says="clean$",
        volatile={"build/repo/.git/index": "inode numbers and times of change"},
    ),
    Row(
        name="over 50,000 entries: tar x and c, rm -rf",
        tools=("tar", "rm", "find"),
        prepare=archive,
        steps=(
            "cd build && tar xf ../many.tar && find many | wc -l && find many -empty | wc -l",
            "cd build && tar c --sort=name many | sha256sum",
            "rm -rf build/many && ls -A build",
        ),
    ),
    Row(
        name="cp -a, rsync -a --delete, find -delete, mv across the border, zip, sed -i, install",
        tools=("cp", "find", "install", "mv", "rsync", "sed", "tar", "unzip", "zip"),
        prepare=archive,
        steps=(
            "cd build && tar xf ../many.tar --wildcards 'many/d01*' && cp -a many copy"
            f" && diff -r many copy && {LIST}",
            "cd build && rsync -a --delete copy/ synced/ && rm copy/d010/f01* && echo new"
            " >copy/d011/f000 && mkdir copy/d012/more && rsync -a --delete --itemize-changes"
            f" copy/ synced/ && diff -r copy synced && {LIST}",
            f"cd build && find copy -type f -name '*5' -delete && {LIST}"
            " && find copy -delete && ls -A",
            "mv build/many/d013 outside/ && mv build/many/d014/f002 outside/ && mv outside/d013"
            " build/back && mv outside/f002 build/one && mv build/many/d015 build/many/d013"
            f" && ls outside && cd build && {LIST}",
            "cd build && install -D -m 640 many/d016/f010 made/a/b && stat -c '%a %s %h' made/a/b"
            " && sed -i s/10/ten/ made/a/b && head -2 made/a/b && stat -c '%a %s' made/a/b",
            "cd build && zip -qr many.zip many && unzip -q many.zip -d unzipped && rm many.zip"
            f" && diff -r many unzipped/many && {LIST}",
        ),
        idle="cd build && rsync -an --delete --itemize-changes synced/ synced/ && echo idle",
        idle_says="^idle$",
    ),
    Row(
        name="sqlite3 in WAL mode by two processes; tail -f while another process writes",
        tools=("python3", "sqlite3", "tail", "timeout"),
        prepare=nothing,
        steps=(
            "sqlite3 build/db 'pragma journal_mode=wal; create table t(who, n);'",
            "write() { for n in $(seq 1 100); do echo 'pragma busy_timeout=60000;'"
            ' "insert into t values($1, $n);"; done | sqlite3 build/db >/dev/null; };'
            " write 1 & write 2 & wait;"
            " sqlite3 build/db 'select who, count(*), sum(n) from t group by who'",
            f"python3 -c '{SQLITE}'",
            "touch build/log; (while [ ! -e build/go ]; do sleep 0.02; done;"
            " for i in 1 2 3; do echo $i >>build/log; sleep 0.1; done; echo end >>build/log) &"
            " timeout 60 tail -n +1 -f build/log | (touch build/go; sed /end/q); wait",
        ),
        idle="sqlite3 'file:build/db?immutable=1' 'select count(*) from t; pragma integrity_check'",
        idle_says="^201\nok$",
        volatile={"build/db": "whose insert came first"},
        scrubbed={r" *; *$": ""},
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_kernel_is_the_oracle(bench: Bench, row: Row) -> None:
    bench.check(row)
