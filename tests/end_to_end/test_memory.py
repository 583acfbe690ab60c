"""What builds do to memory and disk: the cap holds, and the disk is left alone."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from support import project
from support.gauge import MIB, SLACK_BYTES, Gauge
from support.harness import Velo, run_native, tool
from support.snapshot import Snapshot

CAP_BYTES = 16 * MIB


def test_the_cap_holds_and_a_larger_build_ends_well(velo: Velo, workspace) -> None:
    # Goal: 36 units and 6 programs, about 36 MiB, through 16 MiB of memory.
    place = workspace(toml='[live]\nmax_memory = "16MiB"\naggressive_paths = ["build/"]\n')
    project.write(place, units=36, payload_bytes=MIB // 2)
    expected = project.native(place)
    gauge = Gauge(velo.root)
    gauge.start()

    try:
        project.build(velo.exec, place)
    finally:
        gauge.stop()

    project.assert_built_as(expected, place)
    assert gauge.sample_count > 10
    assert gauge.highest_bytes <= CAP_BYTES + SLACK_BYTES
    assert gauge.highest_bytes > CAP_BYTES // 4


# Writes, a mapping and an allocation, a duplicate, an append: each larger than the cap.
LARGE = """
import hashlib, mmap, os
SIZE = 24 << 20
with open('build/written', 'wb') as file:
    for i in range(SIZE >> 16):
        file.write(bytes([i % 251]) * 65536)
with open('build/written', 'ab') as file:
    file.write(b'end')
fd = os.open('build/mapped', os.O_RDWR | os.O_CREAT, 0o640)
os.ftruncate(fd, SIZE)
with mmap.mmap(fd, SIZE) as memory:
    for at in range(0, SIZE, 4096):
        memory[at] = at // 4096 % 251
os.close(fd)
fd = os.open('build/allocated', os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o444)
os.write(fd, b'head')
twin = os.dup(fd)
os.posix_fallocate(fd, 0, SIZE)
os.write(twin, b'tail')
status = os.fstat(fd)
print(os.lseek(fd, 0, os.SEEK_CUR), status.st_size, oct(status.st_mode), os.get_inheritable(fd))
print(os.path.sameopenfile(fd, twin), os.path.samestat(status, os.stat('build/allocated')))
os.link('build/written', 'build/linked')
for name in sorted(os.listdir('build')):
    with open(f'build/{name}', 'rb') as file:
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
    print(name, os.stat(f'build/{name}').st_size, digest)
"""


def test_a_single_file_may_be_larger_than_the_cap(velo: Velo, workspace) -> None:
    # Goal: what outgrows memory while it is open goes on at its real path, and nobody can tell.
    place = workspace(toml='[live]\nmax_memory = "16MiB"\naggressive_paths = ["build/"]\n')
    command = [sys.executable, "-c", LARGE]
    (place / "build").mkdir()
    native = run_native(*command, cwd=place)
    expected = Snapshot.of(place / "build")
    shutil.rmtree(place / "build")
    (place / "build").mkdir()
    gauge = Gauge(velo.root)
    gauge.start()

    try:
        hosted = velo.exec(*command, cwd=place)
    finally:
        gauge.stop()

    assert hosted.stdout == native.stdout
    assert expected.differences(Snapshot.of(place / "build")) == []
    assert gauge.highest_bytes <= CAP_BYTES + SLACK_BYTES


# A process with a thread: a copy to the last byte, which is then overwritten; more than there is
# room for through a stream; and by four threads at once, into one file, one stream, each its own.
THREADED = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
static void *wait_for_ever(void *nothing) { pause(); return nothing; }
static char block[1 << 20];
enum { WRITERS = 4, LINES = 20000, LINE = 100 };
static FILE *shared; static int together, places;
static void line(char *out, int writer, int number) {
  snprintf(out, LINE + 1, "%d:%07d:%0*d\n", writer, number, LINE - 11, number);
}
static void *write_lines(void *argument) {
  int writer = (int)(long)argument; char text[LINE + 1], own[32];
  snprintf(own, sizeof own, "build/own%d", writer);
  FILE *mine = fopen(own, "w");
  for (int number = 0; number < LINES; number++) {
    line(text, writer, number);
    write(together, text, LINE);
    pwrite(places, text, LINE, ((long)number * WRITERS + writer) * LINE);
    if (number % 2) fprintf(shared, "%s", text); else fwrite(text, LINE, 1, shared);
    fwrite(text, LINE, 1, mine);
  }
  return (void *)(long)fclose(mine);
}
/* Each line once, and those of one writer in order; with `places` all of them in order. */
static int in_order(const char *path, int writers, int in_places) {
  char text[LINE + 1], right[LINE + 1]; int next[WRITERS] = {0}, total = 0;
  FILE *file = fopen(path, "r");
  for (; file && fread(text, LINE, 1, file) == 1; total++) {
    int writer = text[0] - '0';
    if (writer < 0 || writer >= WRITERS) return 0;
    line(right, writer, next[writer]++);
    if (memcmp(text, right, LINE) || (in_places && total % WRITERS != writer)) return 0;
  }
  if (file) fclose(file);
  return total == writers * LINES;
}
static void by_threads(void) {
  pthread_t threads[WRITERS]; void *failed = 0, *one; char own[32]; int whole = 1;
  together = open("build/together", O_CREAT | O_WRONLY | O_APPEND, 0600);
  places = open("build/places", O_CREAT | O_WRONLY, 0600);
  shared = fopen("build/shared", "w");
  for (long i = 0; i < WRITERS; i++) pthread_create(&threads[i], 0, write_lines, (void *)i);
  for (int i = 0; i < WRITERS; i++)
    pthread_join(threads[i], &one), failed = (void *)((long)failed | (long)one);
  int ended = fclose(shared) | close(together) | close(places);
  for (int i = 0; i < WRITERS; i++)
    snprintf(own, sizeof own, "build/own%d", i), whole &= in_order(own, 1, 0);
  printf("%ld %d: %d %d %d %d\n", (long)failed, ended, in_order("build/together", WRITERS, 0),
         in_order("build/places", WRITERS, 1), in_order("build/shared", WRITERS, 0), whole);
}
int main(void) {
  pthread_t thread; struct stat st; long got, sum = 0;
  pthread_create(&thread, 0, wait_for_ever, 0);
  int from = open("source", O_RDONLY), to = open("build/copy", O_CREAT | O_WRONLY, 0600);
  while ((got = copy_file_range(from, 0, to, 0, 1 << 30, 0)) > 0) sum += got;
  printf("%ld %ld\n", got, sum);
  lseek(from, sum = 0, SEEK_SET); ftruncate(to, 0); lseek(to, 0, SEEK_SET);
  while ((got = sendfile(to, from, 0, 1 << 30)) > 0) sum += got;
  printf("%ld %ld\n", got, sum);
  for (sum = 0; sum < 10 << 20; sum += sizeof block) got = pwrite(to, block, sizeof block, sum);
  got = pwrite(to, block, sizeof block, 0);
  printf("%ld\n", got);
  close(to); unlink("build/copy");
  FILE *file = fopen("build/stream", "w");
  for (int i = 0; i < 40; i++) fwrite(block, sizeof block, 1, file);
  int failed = ferror(file) != 0 | fclose(file) != 0;
  stat("build/stream", &st);
  printf("%d %ld\n", failed, (long)st.st_size);
  by_threads();
  return 0;
}
"""


def test_what_a_process_with_threads_has_no_room_for_goes_on_at_its_real_path(
    velo: Velo, workspace, tmp_path
) -> None:
    place = workspace(toml='[live]\nmax_memory = "16MiB"\naggressive_paths = ["build/"]\n')
    (place / "build").mkdir()
    (place / "source").write_bytes(os.urandom(10 * MIB))
    (tmp_path / "threaded.c").write_text(THREADED)
    program = [str(tmp_path / "threaded")]
    subprocess.run([tool("gcc"), "-w", tmp_path / "threaded.c", "-o", *program], check=True)
    native = run_native(*program, cwd=place)
    shutil.rmtree(place / "build")
    (place / "build").mkdir()

    hosted = velo.exec(*program, cwd=place)

    assert native.stdout.endswith("0 0: 1 1 1 1\n")
    assert hosted.stdout == native.stdout


# A system call with a path: its name, everything up to the result, the result.
CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+|\?)")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
ANCHOR = re.compile(r"(?:AT_FDCWD|\d+)<([^>]*)>")
# Directories and symlinks are on disk too, by design; programs are started by their real path.
# A program is written through under a temporary name; what counts is the name it is renamed to.
TEMPORARY = ".velo-put."
# Where the loader looks for better shared objects before it takes the one it was told.
LOADER = re.compile(r"/(glibc-hwcaps|tls|x86_64|haswell|avx512_1|aarch64|atomics)(/|$)")
PASSED = {"execve", "chdir", "mkdir", "mkdirat", "rmdir", "symlink", "symlinkat", "readlink"}


def test_a_build_without_waiting_leaves_hosted_files_off_the_disk(
    velo: Velo, workspace, tmp_path
) -> None:
    # Goal: no system call creates, writes, renames or stats a hosted regular file at its real
    # path, but for programs. Method: flushing paused, every call of the build under strace.
    place = workspace()
    project.write(place, units=12)
    velo.exec(*project.configure_command(), cwd=place)
    velo.run("pause", cwd=place)
    log = tmp_path / "strace.log"
    # The tracer itself stays outside: it stops programs anywhere, also where they hold a lock.
    trace = ["env", "VELO_DISABLE=1", "VELO_STARTED_OVER=1"]  # which is not opaque
    trace += [tool("strace"), "-E", "VELO_DISABLE", "-f", "-qq", "-y"]
    trace += ["-s", "4096", "-e", "trace=%file", "-o", str(log)]

    velo.run("exec", "--no-wait", "--", *trace, *project.build_command(), cwd=place)

    early = [path for path in _regular_files(place / "build") if path.suffix in (".o", ".a")]
    assert early == []
    velo.run("sync", cwd=place)
    touched = _touched(log, place / "build")
    assert str(velo.memory() / "i") in log.read_text(errors="replace"), "the trace missed the build"
    assert touched == [], "\n".join(touched[:20])
    velo.run("resume", cwd=place)


def _regular_files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]


def _touched(log: Path, build: Path) -> list[str]:
    """Calls in `log` that name a regular file of `build` which is no program.

    Call it with the finished tree on disk: that says what each name is.
    """
    found = []
    for line in log.read_text(errors="replace").splitlines():
        call = CALL.match(line)
        if call and call[1] not in PASSED:
            texts = QUOTED.findall(call[2])
            if call[1] == "readlinkat":
                del texts[1:]  # what the symlink says
            named = (_absolute(path, call[2], build) for path in texts)
            if any(_is_hosted_data(path, build) for path in named):
                found.append(line)
    return found


def _absolute(text: str, arguments: str, build: Path) -> str:
    anchor = ANCHOR.search(arguments)
    # strace names the directory of a descriptor; ninja's commands run in the build directory.
    return os.path.normpath(os.path.join(anchor[1] if anchor else build, text))


def _is_hosted_data(path: str, build: Path) -> bool:
    name = os.path.basename(path)
    if not path.startswith(f"{build}/") or name.startswith(TEMPORARY):
        return False
    if ".so" in name or LOADER.search(path):
        return False
    if name == ".ninja_lock":  # of ninja 1.12 on: what is there to be locked is on disk
        return False
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return True  # a temporary file of the build: hosted, and no longer there
    return stat.S_ISREG(mode) and not mode & 0o111


def test_status_counts_what_a_build_did(velo: Velo, workspace) -> None:
    place = workspace()
    project.write(place, units=6)
    project.build(velo.exec, place)

    text = velo.run("status", cwd=place).stdout
    found = velo.run("status", "--json", cwd=place).stdout

    assert "ninja" in text and "cc1" in text
    assert '"dirty"' in found


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_said_clearly_and_loses_nothing(velo: Velo, workspace) -> None:
    place = workspace()
    (place / "build").mkdir()
    content = os.urandom(6 * MIB)
    (place / "source").write_bytes(content)
    disk = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place / "build")]
    subprocess.run(disk, check=True, capture_output=True)
    try:
        done = velo.exec("cp", "source", "build/copy", cwd=place, check=False)

        assert done.returncode == 125
        (sentence,) = done.stderr.splitlines()
        assert sentence.startswith("velo: ") and "No space left" in sentence
        more = ["mount", "-o", "remount,size=64m", str(place / "build")]
        subprocess.run(more, check=True, capture_output=True)
        velo.run("sync", cwd=place)
        assert (place / "build/copy").read_bytes() == content
        velo.stop(cwd=place)
    finally:
        subprocess.run(["umount", "-l", str(place / "build")], check=True, capture_output=True)
