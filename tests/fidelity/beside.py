"""Two programs take turns on one tree: this one, which velo enters, and a static shell, which it
cannot. Each prints all it sees after what the other did.

In: a seed, how many turns. Out: lines; they are the same wherever the tree is. Never: a time of
day, or an order of names that is the directory's own.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys

FILES = ("build/a", "build/b", "build/d/c", "build/e/f/g", "build/link")
DIRECTORIES = ("build/d", "build/e", "build/e/f")
END = "--end--"


class Shell:
    """busybox's, which is static: what it does and sees is the disk's."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            ["busybox", "sh"], stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True
        )

    def run(self, command: str) -> str:
        self.process.stdin.write(f"{command}\necho $? {END}\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            lines.append(line.strip())
            if END in line:
                return " | ".join(lines)
        return "gone"


def attempt(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return error.strerror


def write(path: str, text: str, mode: str) -> None:
    with open(path, mode) as file:
        file.write(text)


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


def to_and_fro(directory: str) -> None:
    os.rename(directory, "build/moved")
    os.rename("build/moved", directory)


def look(path: str) -> str:
    found = os.lstat(path)
    size = found.st_size if not os.path.isdir(path) or os.path.islink(path) else "-"
    return f"{found.st_mode:o} {size} {int(found.st_mtime) if found.st_mtime < 1e9 else 'now'}"


def mine(chance: random.Random, turn: int) -> object:
    path, other = chance.choice(FILES), chance.choice(FILES)
    directory = chance.choice(DIRECTORIES)
    return chance.choice(
        (
            lambda: attempt(write, path, f"mine {turn}\n", "w"),
            lambda: attempt(write, path, f"more {turn}\n", "a"),
            lambda: attempt(read, path),
            lambda: attempt(look, path),
            lambda: attempt(lambda: sorted(os.listdir(directory))),
            lambda: attempt(os.unlink, path),
            lambda: attempt(os.rename, path, other),
            lambda: attempt(os.makedirs, directory),
            lambda: attempt(os.rmdir, directory),
            lambda: attempt(os.symlink, "d/c", path),
            lambda: attempt(os.link, path, other),
            lambda: attempt(os.chmod, path, 0o600 + turn % 8),
            lambda: attempt(os.utime, path, (1000 + turn, 1000 + turn)),
            lambda: attempt(os.truncate, path, turn % 9),
            lambda: (
                attempt(os.rename, directory, "build/moved") or os.rename("build/moved", directory)
            ),
        )
    )()


def its(shell: Shell, chance: random.Random, turn: int) -> str:
    path, other = chance.choice(FILES), chance.choice(FILES)
    directory = chance.choice(DIRECTORIES)
    return shell.run(
        chance.choice(
            (
                f"echo its {turn} >{path}",
                f"echo its {turn} >>{path}",
                f"cat {path}",
                f"busybox stat -c '%a %s' {path}",
                f"busybox ls -A {directory}",
                f"busybox rm -f {path}",
                f"busybox mv -fT {path} {other}",
                f"busybox mkdir -p {directory}",
                f"busybox rmdir {directory}",
                f"busybox ln -s d/c {path}",
                f"busybox chmod 64{turn % 8} {path}",
                f"busybox touch -d @{2000 + turn} {path}",
                f"busybox mv -T {directory} build/moved && busybox mv -T build/moved {directory}",
            )
        )
    )


def everything() -> list[str]:
    found = []
    for place, directories, files in os.walk("build"):
        for name in directories + files:
            path = os.path.join(place, name)
            text = read(path) if os.path.isfile(path) else ""
            found.append(f"{path} {look(path)} {text!r}")
    return sorted(found)


def main() -> None:
    chance = random.Random(sys.argv[1])
    for name in ("build/a", "build/d/c"):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        write(name, "before\n", "w")
    held = open("build/held", "w")
    held.write("before it started\n")
    held.flush()
    shell = Shell()
    print(shell.run("cat build/held build/a"))
    held.write("while it runs\n")
    held.close()
    print(shell.run("cat build/held"))
    for turn in range(int(sys.argv[2])):
        print(turn, mine(chance, turn) if chance.random() < 0.5 else its(shell, chance, turn))
    print("\n".join(everything()))
    print(shell.run("busybox find build -type f | busybox sort | busybox xargs busybox cat"))
    print(shell.run("echo last >build/last; exit 3"))
    print(shell.process.wait())
    print("\n".join(everything()))


main()
