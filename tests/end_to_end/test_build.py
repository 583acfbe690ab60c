"""Whole builds under velo against the same builds without it, at the same path."""

from __future__ import annotations

import os
import shutil

import pytest

from support import project, sample
from support.harness import Velo, run_native, tool
from support.snapshot import Snapshot


def test_a_build_in_memory_leaves_the_tree_of_a_native_build(velo: Velo, workspace) -> None:
    # Goal: bytes, modes, links and the order in time. Method: with one job at a time the order in
    # which files are written is the build's own, so it must be the same twice.
    place = workspace()
    project.write(place)
    expected = project.native(place, jobs=1)

    project.build(velo.exec, place, jobs=1)

    project.assert_built_as(expected, place)
    assert not expected.inversions(Snapshot.of(place / "build"))
    assert (place / "build/result.txt").samefile(place / "build/result.link")


@pytest.mark.sample
def test_a_real_project_built_in_memory_equals_its_native_build(velo: Velo, workspace) -> None:
    place = workspace()
    sample.unpack(place)
    expected = project.native(place, target=sample.HALF)
    steps = sum(name.endswith(".o") for name in expected.entries)

    project.build(velo.exec, place, target=sample.HALF)

    assert steps >= sample.STEPS_MIN
    project.assert_built_as(expected, place, target=sample.HALF)
    assert sample.run_own_tests(place, place / "build", sample.HALF) == []


def test_a_build_directory_removed_natively_is_built_again_in_full(velo: Velo, workspace) -> None:
    place = workspace()
    project.write(place, units=6)
    expected = project.native(place)
    project.build(velo.exec, place)

    shutil.rmtree(place / "build")
    project.build(velo.exec, place)

    project.assert_built_as(expected, place)


def test_a_native_edit_between_two_runs_is_seen(velo: Velo, workspace) -> None:
    place = workspace()
    project.write(place, units=6)
    project.build(velo.exec, place)
    header = place / "build/answer.h"

    header.write_text("#define ANSWER 1000\n")
    seen = velo.exec("cat", "build/answer.h", cwd=place)
    velo.exec(*project.build_command(), cwd=place)

    assert seen.stdout == "#define ANSWER 1000\n"
    # common() + shared() + the six units, each with its index and a payload byte of 1
    assert (place / "build/result.txt").read_text() == f"{1000 + 7 + 6 * 1001 + 15}\n"
    project.assert_up_to_date(place)


def test_a_native_build_between_two_runs_is_taken_over(velo: Velo, workspace) -> None:
    place = workspace()
    project.write(place, units=6)
    project.build(velo.exec, place)

    (place / "unit3.c").write_text(project.UNIT.format(index=3, payload=2))
    run_native(*project.build_command(), cwd=place)
    again = velo.exec(*project.build_command(), cwd=place)

    assert "no work to do" in again.stdout


def test_two_workspaces_at_once_do_not_see_each_other(velo: Velo, workspace) -> None:
    places = [workspace("first"), workspace("second")]
    script = "mkdir -p build; for i in 1 2 3 4 5 6 7 8; do echo $0 > build/$0.$i; done; ls build"
    running = [
        velo.start("exec", "--", "sh", "-c", script, place.name, cwd=place) for place in places
    ]

    listed = [velo.finish(process).stdout.split() for process in running]

    assert listed == [[f"{place.name}.{i}" for i in range(1, 9)] for place in places]
    for place in places:
        assert sorted(os.listdir(place / "build")) == [f"{place.name}.{i}" for i in range(1, 9)]


def test_ten_commands_started_at_once_share_one_server(velo: Velo, workspace) -> None:
    place = workspace()
    (place / "build").mkdir()
    script = "echo $0 > build/$0; grep -l . build/$0"
    running = [velo.start("exec", "--", "sh", "-c", script, str(i), cwd=place) for i in range(10)]

    said = [velo.finish(process).stdout for process in running]

    assert said == [f"build/{i}\n" for i in range(10)]
    assert len(list(velo.root.glob("*/router.pid"))) == 1
    assert sorted(os.listdir(place / "build")) == [str(i) for i in range(10)]


def test_nothing_is_left_after_stop(velo: Velo, workspace) -> None:
    place = workspace()
    velo.exec("sh", "-c", "mkdir -p build && echo hello > build/file", cwd=place)
    assert velo.left()

    velo.stop(cwd=place)

    assert velo.left() == []
    assert (place / "build/file").read_text() == "hello\n"


def test_a_second_build_after_a_stop_has_no_work_to_do(velo: Velo, workspace) -> None:
    place = workspace()
    project.write(place, units=6)
    project.build(velo.exec, place)
    velo.stop(cwd=place)

    again = velo.exec(*project.build_command(), cwd=place)

    assert "no work to do" in again.stdout


def test_common_tools_leave_the_same_tree_as_natively(velo: Velo, workspace) -> None:
    # Goal: the tools around compilers: shells, coreutils, sed, grep, tar, git, make, python.
    place = workspace()
    (place / "Makefile").write_text(MAKEFILE)
    shutil.rmtree(place / "build", ignore_errors=True)
    run_native(tool("make"), "all", cwd=place)
    expected = Snapshot.of(place / "build")
    shutil.rmtree(place / "build")

    velo.exec(tool("make"), "all", cwd=place)

    differences = expected.differences(Snapshot.of(place / "build"))
    assert not differences, "\n".join(differences[:20])


MAKEFILE = r"""
B = build
PYTHON = python3
DATE = "@0 +0000"
all: $(B)/listing $(B)/append $(B)/copy.tar $(B)/python.txt $(B)/repository.txt
$(B)/deep/file.txt:
	mkdir -p $(B)/deep/er/est
	printf 'one\ntwo\nthree\n' > $@
	chmod 640 $@
	ln -s deep/file.txt $(B)/soft
	ln $@ $(B)/hard
	touch -d '2001-02-03 04:05:06.123456789 UTC' $(B)/old
$(B)/append: $(B)/deep/file.txt
	for i in 1 2 3 4 5 6 7 8; do (echo line >> $@) & done; wait
	test $$(wc -l < $@) = 8
	(read a; read b; echo "$$a $$b") < $(B)/soft > $(B)/read
	sed -i s/two/2/ $(B)/deep/file.txt
	grep -c 2 $(B)/deep/file.txt > $(B)/count
	mv $(B)/deep/er $(B)/moved && mkdir $(B)/moved/new && rmdir $(B)/moved/new
	cp -p $(B)/old $(B)/moved/ && install -m 755 $(B)/count $(B)/moved/est/
	dd if=/dev/zero of=$(B)/sparse bs=1 count=1 seek=100000 2>/dev/null
	truncate -s 7 $(B)/sparse
$(B)/copy.tar: $(B)/append
	tar -cf $@ --sort=name --mtime=@0 --owner=0 --group=0 -C $(B) deep moved read
	mkdir $(B)/unpacked && tar -xf $@ -C $(B)/unpacked
	cd $(B)/unpacked && pwd -P | sed 's,.*/,,' > ../where
$(B)/python.txt: $(B)/append
	$(PYTHON) -c "import shutil; shutil.copytree('$(B)/moved', '$(B)/tree')"
	$(PYTHON) -c "import os; os.replace('$(B)/tree/old', '$(B)/tree/new')"
	$(PYTHON) -c "import os; print(os.path.realpath('$(B)/soft')[-13:])" > $@
$(B)/repository.txt: $(B)/append
	git init -q -b main $(B)/git && cp $(B)/deep/file.txt $(B)/git/
	cd $(B)/git && git config user.name n && git config user.email e@x && git add .
	cd $(B)/git && GIT_AUTHOR_DATE=$(DATE) GIT_COMMITTER_DATE=$(DATE) git commit -q -m first
	cd $(B)/git && git gc -q && git fsck 2> /dev/null
	git -C $(B)/git rev-parse HEAD > $@
	rm -rf $(B)/git
$(B)/listing: $(B)/copy.tar $(B)/python.txt $(B)/repository.txt
	find $(B) -type f -newer $(B)/old | sort > listing.tmp; mv listing.tmp $@
"""
