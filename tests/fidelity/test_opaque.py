"""Programs that velo cannot enter: each sees what was written before it and while it runs, and what
it writes is seen at once; and `velo status` counts them by name.

In: beside.py, and programs built here. Out: the same lines natively and hosted. Never: a program
that velo could have entered.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.harness import Velo, run_native, tool
from support.scripts import outcome, prepare
from support.snapshot import Snapshot

HERE = Path(__file__).parent
TURNS = 300
NOBODY = 65534
# Reads, appends, removes.
SMALL = """
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(int count, char **words)
{
    char text[64] = "";
    int fd = open("build/file", O_RDWR | O_APPEND);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
        return perror("build/file"), 1;
    printf("%s read %sas %d\\n", words[1], text, (int)geteuid());
    if (write(fd, "and more\\n", 9) != 9)
        return perror("write"), 1;
    unlink("build/gone");
    return count > 2 ? 0 : close(fd);
}
"""
# Leaves a child behind, which waits for `go`, says what it finds in build/ and writes there.
LEAVES = """
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
static int is_there(const char *path)
{
    struct stat stat;
    for (int turn = 0; turn < 10000; turn++, usleep(1000))
        if (lstat(path, &stat) == 0)
            return 1;
    return 0;
}
int main(int count, char **words)
{
    char text[64] = "nothing";
    if (count > 2)
        execv(words[1], words + 1);
    if (fork() != 0)
        return 0;
    if (words[1][0] == 's')
        setsid();
    close(0), close(1), close(2);
    int from = is_there("go") ? open("build/said", O_RDONLY) : -1;
    long got = from < 0 ? 0 : read(from, text, sizeof text);
    int to = open("build/new", O_WRONLY | O_CREAT, 0644);
    if (to < 0 || write(to, text, got > 0 ? got : 7) < 0 || rename("build/new", "build/late") != 0)
        return 1;
    return is_there("build/end") ? 0 : 1;
}
"""
# The end of ./leaves is noticed by the first `ls`; what it left behind acts afterwards.
WAITS = """
rm -f go; {run}; ls build; echo before >build/said; touch go
for turn in $(seq 2000); do [ -e build/late ] && break; sleep 0.005; done
cat build/late; echo more >>build/late; ls build; touch build/end; wc -c build/late
"""
AROUND = "echo {name} >build/file; touch build/gone; {run}; cat build/file; ls build"


def opaque(velo: Velo, place: Path) -> dict[str, dict[str, int]]:
    """What the status tells of programs that could not be entered."""
    status = json.loads(velo.run("status", "--json", cwd=place).stdout)
    return status["processes"]["opaque"]


def both(velo: Velo, place: Path, script: str) -> list[str]:
    """Run `script` on both sides, which must not differ; what it said."""
    place.chmod(0o755)
    prepare(place)
    (place / "build").chmod(0o777)
    native = run_native("sh", "-c", script, cwd=place, check=False)
    expected = Snapshot.of(place / "build")
    prepare(place)
    (place / "build").chmod(0o777)
    hosted = velo.exec("sh", "-c", script, cwd=place, check=False)
    assert outcome(hosted) == outcome(native)
    assert Snapshot.of(place / "build").differences(expected) == []
    return outcome(hosted)[1]


def built(place: Path, name: str, *flags: str) -> Path:
    """SMALL, compiled beside the workspace's hosted directory."""
    (place / "small.c").write_text(SMALL)
    target = place / name
    run_native(tool("gcc"), *flags, "-o", str(target), "small.c", cwd=place)
    return target


@pytest.mark.parametrize("seed", [1, 4, 8, 10])
def test_a_static_shell_and_a_program_inside_take_turns_on_one_tree(
    velo: Velo, workspace, seed: int
) -> None:
    tool("busybox")
    place = workspace()
    said = both(velo, place, f"{sys.executable} {HERE / 'beside.py'} {seed} {TURNS}")

    assert len(said) > TURNS
    assert opaque(velo, place)["busybox"]["nanoseconds"] > 0


def test_a_static_program_is_counted_once_named_and_timed(velo: Velo, workspace) -> None:
    place = workspace()
    built(place, "still", "-static")
    both(velo, place, AROUND.format(name="static", run="./still static; ./still static"))

    counted = opaque(velo, place)["still"]
    assert counted["count"] == 2
    assert f"still 2 ({counted['nanoseconds'] / 1e9:.2f} s)" in velo.run("status", cwd=place).stdout


def test_a_static_program_that_is_spawned_is_counted_once(velo: Velo, workspace) -> None:
    place = workspace()
    built(place, "still", "-static")
    spawn = (
        f"{sys.executable} -c 'import os; os.waitpid(os.posix_spawn("
        '"./still", ["still", "spawned"], os.environ), 0)\''
    )
    both(velo, place, AROUND.format(name="spawned", run=spawn))

    assert opaque(velo, place)["still"]["count"] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a program away")
def test_a_setuid_program_sees_and_writes_the_tree(velo: Velo, workspace, tmp_path) -> None:
    place = workspace()
    for path in [place, *place.parents][:-1]:
        if path.stat().st_uid == os.geteuid() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    program = built(place, "other")
    os.chown(program, NOBODY, NOBODY)
    program.chmod(0o4755)
    run = "chmod 666 build/file; ./other setuid"
    said = both(velo, place, AROUND.format(name="setuid", run=run))

    assert f"as {NOBODY}" in said[1]
    assert opaque(velo, place)["other"]["count"] == 1


def test_a_program_of_another_abi_sees_and_writes_the_tree(velo: Velo, workspace) -> None:
    place = workspace()
    probe = subprocess.run(
        ["gcc", "-m32", "-static", "-x", "c", "-o", str(place / "probe"), "-"],
        input="#include <stdio.h>\nint main(void) { return 0; }\n",
        text=True,
        capture_output=True,
    )
    if probe.returncode != 0:
        missing = "gcc -m32 cannot build: package libc6-dev-i386 (gcc-multilib)"
        pytest.fail(missing) if os.environ.get("VELO_MATRIX") == "all" else pytest.skip(missing)
    for name, flags in (("small32", ["-m32"]), ("still32", ["-m32", "-static"])):
        built(place, name, *flags)
        both(velo, place, AROUND.format(name=name, run=f"./{name} abi"))

        assert opaque(velo, place)[name]["count"] == 1


@pytest.mark.parametrize(
    "drop",
    [
        "env -i",
        "env -u LD_PRELOAD",
        "env LD_PRELOAD=",
        "busybox env -i",
        "busybox env -u LD_PRELOAD",
    ],
)
def test_a_program_whose_environment_was_dropped_sees_the_tree(
    velo: Velo, workspace, drop: str
) -> None:
    tool(drop.split()[0])
    place = workspace()
    built(place, "moves")
    said = both(velo, place, AROUND.format(name="dropped", run=f"{drop} ./moves {drop[-5:]}"))

    assert said[-2:] == ["and more", "file"]


@pytest.mark.parametrize(
    "run",
    [
        "./leaves group",
        "./leaves session",
        "env -i ./leaves group",
        "./still env -i ./leaves group",
        "busybox env -i ./leaves group",
        "./leaves ./leaves session",
    ],
)
def test_what_a_static_program_leaves_running_sees_the_tree_and_is_seen(
    velo: Velo, workspace, run: str
) -> None:
    if "busybox" in run:
        tool("busybox")
    place = workspace()
    (place / "leaves.c").write_text(LEAVES)
    run_native(tool("gcc"), "-static", "-o", "leaves", "leaves.c", cwd=place)
    run = run.replace("./still env", f"./leaves {tool('busybox')} env")

    said = both(velo, place, WAITS.format(run=run))

    assert said[:1] == ["before"]
    assert opaque(velo, place)["leaves" if "busybox" not in run else run.split()[0].lstrip("./")]


def test_memory_is_used_again_when_what_was_left_running_has_ended(velo: Velo, workspace) -> None:
    place = workspace()
    prepare(place)
    (place / "leaves.c").write_text(LEAVES)
    run_native(tool("gcc"), "-static", "-o", "leaves", "leaves.c", cwd=place)
    os.mkfifo(place / "ended")  # which the child has open as long as it lives
    velo.exec("true", cwd=place)
    velo.run("pause", cwd=place)
    command = WAITS.format(run="./leaves session 3<>ended")
    command = command.replace(
        "touch build/end", "echo x >build/while; exec 4<ended; touch build/end"
    )
    command += "cat <&4; echo y >build/after"

    velo.run("exec", "--no-wait", "--", "sh", "-c", command, cwd=place)

    assert (place / "build/while").exists()
    assert not (place / "build/after").exists()
    velo.run("resume", cwd=place)


# A static reader that says what it finds in build/log when it is told to look.
READS = """
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    char text[64] = "", told;
    puts("ready"), fflush(stdout);
    while (read(0, &told, 1) == 1) {
        int fd = open("build/log", O_RDONLY);
        long got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
        text[got < 0 ? 0 : got] = 0;
        printf("%s.\\n", text), fflush(stdout);
        close(fd);
    }
    return 0;
}
"""
# Opens build/log, starts the reader, writes and lets go of the file in the way that it is told.
LETS_GO = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **words)
{
    int in[2], out[2];
    char line[64];
    FILE *file = fopen("build/log", "w");
    pipe2(in, O_CLOEXEC), pipe2(out, O_CLOEXEC);
    if (fork() == 0) {
        dup2(in[0], 0), dup2(out[1], 1);
        fclose(file);
        execl("./reads", "reads", (char *)0);
    }
    FILE *answers = fdopen(out[0], "r");
    fgets(line, sizeof line, answers);
    fputs(words[1], file);
    if (!strcmp(words[1], "fclose"))
        fclose(file);
    else
        fflush(file);
    if (!strcmp(words[1], "close"))
        close(fileno(file));
    else if (!strcmp(words[1], "dup2"))
        dup2(1, fileno(file));
    else if (!strcmp(words[1], "dup3"))
        dup3(1, fileno(file), O_CLOEXEC);
    else if (!strcmp(words[1], "close_range"))
        close_range(fileno(file), fileno(file), 0);
    write(in[1], "x", 1);
    fgets(line, sizeof line, answers);
    printf("%s: %s", words[1], line);
    return 0;
}
"""


def test_what_was_written_meanwhile_is_seen_however_the_file_is_closed(
    velo: Velo, workspace
) -> None:
    place = workspace()
    for name, text, flags in (("reads", READS, ["-static"]), ("lets-go", LETS_GO, ["-w"])):
        (place / f"{name}.c").write_text(text)
        run_native(tool("gcc"), *flags, "-o", name, f"{name}.c", cwd=place)
    ways = ("fclose", "close", "dup2", "dup3", "close_range")
    said = both(velo, place, "; ".join(f"./lets-go {way}" for way in ways))

    assert said == [f"{way}: {way}." for way in ways]


# What is open inside while a static program writes to it in place; it stays the same file.
FOLLOWED = r"""
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None)
turns = "echo b >>build/log; echo ready; read x; busybox chmod 640 build/log; echo c >>build/log;"
with open("build/log", "w") as out:
    out.write("a\n")
for number in range(200):
    os.link("build/log", f"build/{len(sys.argv)}.{number}")
log = os.open("build/log", os.O_RDONLY)
print(os.read(log, 100), len(sys.argv))
first = os.stat("build/log").st_ino
if len(sys.argv) > 1:
    queue = libc.inotify_init1(os.O_NONBLOCK)
    print(libc.inotify_add_watch(queue, b"build/log", 2) > 0)
command = ["busybox", "sh", "-c", turns + "echo ready; read x; : >build/log; echo ready; read x"]
other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
for _ in range(3):
    other.stdout.readline()
    now = os.fstat(log)
    print(now.st_size, oct(now.st_mode), os.read(log, 100), os.stat("build/log").st_ino == first)
    other.stdin.write(b"x\n")
    other.stdin.flush()
other.wait()
if len(sys.argv) > 1:
    print(len(os.read(queue, 4096)) > 0)
"""


def test_who_has_a_file_open_sees_what_a_static_program_writes(
    velo: Velo, workspace, tmp_path: Path
) -> None:
    tool("busybox")
    (tmp_path / "followed.py").write_text(FOLLOWED)
    run = f"{sys.executable} {tmp_path / 'followed.py'}"
    said = both(velo, workspace(), f"{run}; {run} watched")

    assert "4 0o100644 b'b\\n' True" in said
