"""Symlinks outside hosted directories that are older than velo, or made where it does not see it:
each is itself the end of a path that leads into memory, and each call follows it.

In: a directory outside and links in it, made by this test. Out: the same lines natively and hosted.
Never: a link made by the program that uses it; scripts/outside_links.sh has those.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.harness import Velo, run_native, tool
from support.scripts import outcome, prepare

# Run in the workspace, with the directory outside as $1: what no disk could answer before the end.
USES = {
    "plain": "echo one >build/f; cat $1/file; echo two >build/f; cat $1/file; stat -Lc %s $1/file",
    "made later": "cat $1/later 2>&1 | grep -c No; echo x >build/later; cat $1/later",
    "written through": "echo 1 >$1/file; cat build/f; echo 2 >>$1/file; cat build/f; ls build",
    "by a chain": "echo x >build/f; cat $1/again $1/sub/up; readlink -f $1/again | grep -o build/f",
    "by a directory's link": "echo sub >build/f; cat $1/through; cat $1/dir/f; ls $1/dir",
    "at the top": "echo top >build/f; cat top_link ./top_link $PWD/top_link",
    "from the directory": "echo cd >build/f; cd $1; cat file ./file; cd sub; cat up ../file",
    "other spellings": "echo s >build/f; cat $1//file $1/./file $1/sub/../file $1/self/file",
    "the link itself": "readlink $1/file | grep -c build; stat -c %F $1/file; rm $1/spare; ls $1",
    "of a program": "cp /bin/true build/prog; $1/prog; echo $?; rm build/prog",
    "in a directory that moved": "mv $1/sub $1/new; echo m >build/f; cat $1/new/in",
    "not ours": "echo n >build/f; cat $1/plain $1/broken 2>&1 | sed 's/.*: //'",
}
BY_DESCRIPTOR = """
import os, sys
open("build/f", "w").write("by a descriptor")
fd = os.open(sys.argv[1], os.O_PATH)
for name in ("file", "sub/up", "self/file", "plain"):
    text = open(os.open(name, os.O_RDONLY, dir_fd=fd)).read()
    print(name, text, os.stat(name, dir_fd=fd).st_size)
print(os.stat("file", dir_fd=fd, follow_symlinks=False).st_size > 20)
"""


def outside(place: Path, base: Path) -> Path:
    """A directory outside with all kinds of links."""
    there = base / "outside"
    (there / "sub").mkdir(parents=True)
    links = {
        "file": f"{place}/build/f",
        "again": "file",
        "sub/up": "../again",
        "sub/in": f"{place}/build/f",
        "later": f"{place}/build/later",
        "spare": f"{place}/build/f",
        "dir": f"{place}/build",
        "through": "dir/f",
        "self": ".",
        "prog": f"{place}/build/prog",
        "broken": "nowhere",
    }
    for name, target in links.items():
        (there / name).symlink_to(target)
    (there / "plain").write_text("plain\n")
    if not (place / "top_link").is_symlink():
        (place / "top_link").symlink_to("build/f")
    return there


@pytest.mark.parametrize("use", USES, ids=list(USES))
def test_a_link_that_is_older_than_velo_shows_memory(
    velo: Velo, workspace, tmp_path: Path, use: str
) -> None:
    place = workspace()
    prepare(place)
    command = ["bash", "-c", USES[use], "bash"]
    native = run_native(*command, str(outside(place, tmp_path / "1")), cwd=place, check=False)
    prepare(place)
    there = outside(place, tmp_path / "2")
    velo.poison(cwd=place)

    hosted = velo.exec(*command, str(there), cwd=place, check=False)

    assert outcome(hosted) == outcome(native)


def test_a_descriptor_of_its_directory_leads_to_such_a_link(
    velo: Velo, workspace, tmp_path: Path
) -> None:
    place = workspace()
    prepare(place)
    command = [tool("python3"), "-c", BY_DESCRIPTOR]
    native = run_native(*command, str(outside(place, tmp_path / "1")), cwd=place)
    prepare(place)
    there = outside(place, tmp_path / "2")
    velo.poison(cwd=place)

    assert outcome(velo.exec(*command, str(there), cwd=place)) == outcome(native)


def test_a_link_made_between_two_commands_is_seen_by_the_second(
    velo: Velo, workspace, tmp_path: Path
) -> None:
    place = workspace()
    prepare(place)
    velo.poison(cwd=place)
    velo.exec("ls", str(tmp_path), str(tmp_path / "none"), cwd=place, check=False)
    (tmp_path / "link").symlink_to(place / "build/f")

    shown = velo.exec("sh", "-c", f"echo new >build/f; cat {tmp_path}/link", cwd=place)

    assert shown.stdout == "new\n"


def test_more_links_than_are_remembered_by_name_all_show_memory(
    velo: Velo, workspace, tmp_path: Path
) -> None:
    place = workspace()
    prepare(place)
    count = 700
    for number in range(count):
        (tmp_path / f"link{number}").symlink_to(place / "build/f")
    velo.poison(cwd=place)

    shown = velo.exec("sh", "-c", f"echo x >build/f; cat {tmp_path}/link*", cwd=place)

    assert shown.stdout == "x\n" * count


def calls(log: Path, call: str) -> int:
    return len(re.findall(rf"\b{call}\(", log.read_text()))


def test_a_directory_is_looked_through_by_the_first_process_only(
    velo: Velo, workspace, tmp_path: Path
) -> None:
    # Goal: what many processes do costs each of them nothing new. Method: the same program twice
    # under strace, in a directory that nobody was in before; then the calls of both.
    place = workspace()
    prepare(place)
    there = outside(place, tmp_path)
    trace = ["env", "VELO_DISABLE=1", "VELO_STARTED_OVER=1"]  # which is not opaque
    trace += [tool("strace"), "-E", "VELO_DISABLE", "-qq", "-o"]
    counts = []
    for turn in ("first", "second"):
        log = tmp_path / turn
        velo.exec(*trace, str(log), "cat", str(there / "plain"), cwd=place)
        counts.append([calls(log, call) for call in ("getdents64", "readlinkat", "newfstatat")])

    assert counts[0][0] > 0
    assert counts[1][:2] == [0, 0]
    assert counts[1][2] < counts[0][2]
