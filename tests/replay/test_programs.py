"""What is known of kinds of programs, and what the user may say of others."""

from __future__ import annotations

import pytest

from support.unit_logs import Said, at, environment, hosted, program, told
from velo.shards.replay import analysis, programs, questions
from velo.shards.replay import unit_log as log
from velo.shards.replay.analysis import Fact
from velo.shards.replay.rules import Rules

GCC, RUSTC = program("/usr/bin/gcc"), program("/rust/bin/rustc")
PYTHON = program("/opt/python/bin/python3.12")
OURS = program("/w/tools/gen")
OUT = "/w/build/a.o"
MADE = (at(log.WRITE, OUT, flags=log.NEW), hosted(OUT, log.OUTPUT, b"o"))


def asks(what: int) -> Said:
    return at(log.ASKED, flags=what)


# ---- clocks, dates, chance ----------------------------------------------------------------------


def python(script: str) -> Said:
    return at(log.PROGRAM, "/opt/python/bin/python3.12", "python3", script)


@pytest.mark.parametrize("what", [log.CLOCK, log.CALENDAR])
@pytest.mark.parametrize("script", ["gen.py", "/w/gen.py", "/usr/share/tool/gen.py"])
def test_a_runtime_may_ask_the_clock_while_it_starts_and_not_after_it_read_its_script(
    analysed, refusal, what, script
):
    library = at(log.READ, "/opt/python/lib/os.py")
    read = at(log.READ, script if script.startswith("/") else f"/w/{script}")

    assert analysed(python(script), library, asks(what), read, *MADE)
    assert refusal(python(script), library, read, asks(what), *MADE).startswith("it ")


def test_logging_asks_for_the_time_once_when_it_is_imported(analysed, refusal, tmp_path):
    logging = tmp_path / "lib/python3.12/logging/__pycache__/__init__.cpython-312.pyc"
    logging.parent.mkdir(parents=True)
    logging.write_bytes(b"... _startTime ...")
    imports = python("gen.py"), at(log.READ, "/w/gen.py"), at(log.READ, str(logging))
    string = at(log.READ, f"{tmp_path}/lib/python3.12/string.py")
    installed = at(log.READ, f"{tmp_path}/lib/python3.12/site-packages/string.py")
    once, again = asks(log.CLOCK), asks(log.CLOCK | log.AGAIN)
    plugin = asks(log.CLOCK | log.BY_PLUGIN)

    assert analysed(*imports, once, *MADE) and analysed(*imports, string, once, string, *MADE)
    twice = (once, once), (once, again), (once, string, once)
    for more in (*twice, (again,), (installed, once), (plugin,)):
        assert refusal(*imports, *more, *MADE) == "it asked what time it is"
    assert analysed(*imports, asks(log.INTERVAL), once, *MADE).provisional
    assert refusal(*imports, asks(log.CALENDAR), *MADE)
    logging.write_bytes(b"another")
    assert refusal(*imports, once, *MADE) == "it asked what time it is"


def test_another_file_of_the_project_ends_the_start_of_a_runtime_too(refusal):
    read = at(log.READ, "/w/settings")

    assert refusal(python("gen.py"), read, asks(log.CLOCK), *MADE) == "it asked what time it is"


def test_a_script_is_known_by_its_name_after_a_change_of_directory(refusal):
    read = at(log.READ, "/usr/src/project/sub/gen.py")

    assert refusal(python("gen.py"), read, asks(log.CLOCK), *MADE) == "it asked what time it is"


def test_what_python_reads_of_an_environment_belongs_to_its_start(analysed, refusal):
    config, installed = at(log.READ, "/w/env/pyvenv.cfg"), at(log.READ, "/w/env/lib/a.pth")
    script, own = at(log.READ, "/w/gen.py"), at(log.READ, "/w/env/bin/gen")

    assert analysed(python("gen.py"), config, installed, asks(log.CLOCK), script, *MADE)
    assert refusal(python("gen.py"), config, installed, script, asks(log.CLOCK), *MADE)
    assert refusal(python("gen.py"), installed, asks(log.CLOCK), *MADE)
    assert refusal(python("env/bin/gen"), config, own, asks(log.CLOCK), *MADE)


def test_what_is_given_as_text_has_no_start(refusal):
    given = program("/opt/python/bin/python3.12", flags=log.GIVEN_TEXT)

    assert refusal(given, asks(log.CLOCK), *MADE) == "it asked what time it is"


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("gen", "/w/gen.py"),
        ("gen", "/usr/lib/python3/gen.py"),
        ("gen", "/opt/python/lib/__pycache__/gen.cpython-312.pyc"),
        ("tool.main", "/opt/python/lib/tool/__init__.py"),
        ("tool", "/opt/python/lib/tool/__main__.py"),
    ],
)
def test_a_module_that_is_run_ends_the_start_as_a_script_does(analysed, refusal, name, read):
    run = at(log.PROGRAM, "/opt/python/bin/python3.12", "python3", name, flags=log.MODULE)
    library = at(log.READ, "/opt/python/lib/runpy.py")

    assert analysed(run, library, asks(log.CLOCK), at(log.READ, read), *MADE)
    assert "what time" in refusal(run, library, at(log.READ, read), asks(log.CLOCK), *MADE)


@pytest.mark.parametrize(
    ("words", "is_filter"),
    [
        (("-pe", "s/a/b/g", "in"), True),
        (("-ne", 'print if /x/; print "$1\\n"'), True),
        (("-0777", "-i.bak", "-lpe", "tr/a/b/", "-e", "s/tree/free/"), True),
        (("-pe", "print time"), False),
        (("-pe", "s/a/b/", "-e", "print scalar localtime"), False),
        (("-ne", "print $^T"), False),
        (("-ne", "print -M $_"), False),
        (("-pe", "s/a/$x/ee"), False),
        (("-pe", "eval"), False),
        (("-MTime", "-pe", "s/a/b/"), False),
        (("-Ilib", "-pe", "s/a/b/"), False),
        (("-e", "print 1"), False),
    ],
)
def test_a_filter_of_perl_may_ask_the_clock_as_it_starts(analysed, refusal, words, is_filter):
    perl = program("/usr/bin/perl", flags=log.GIVEN_TEXT)
    records = (perl, told("perl", *words), at(log.READ, "/w/in"), asks(log.CLOCK), *MADE)

    if is_filter:
        assert analysed(*records)
    else:
        assert "what time" in refusal(*records)


def test_a_program_that_another_becomes_is_judged_alone_and_neither_is_forgotten(analysed):
    before, after = at(log.STAT, "/w/a"), at(log.STAT, "/w/b")

    found = analysed(python("wrap.py"), before, GCC, after, *MADE)

    assert Fact(analysis.TIMES, "/w/a") in found.facts
    assert Fact(analysis.F_STAT, "/w/b") in found.facts
    assert found.needs_rest  # what the first knew may be in the second's arguments
    assert not analysed(program("/usr/bin/env"), GCC, *MADE, words=("env", "gcc")).needs_rest


def test_a_compiler_that_makes_a_date_is_refused_unless_the_date_is_given(analysed, refusal):
    records = (GCC, asks(log.CLOCK), asks(log.CALENDAR), *MADE)

    assert refusal(*records) == "it made a date of the time"
    assert analysed(environment(SOURCE_DATE_EPOCH="1"), *records)


def test_seeds_of_tables_are_no_randomness_of_a_compiler_and_randomness_of_others(analysed):
    assert not analysed(RUSTC, asks(log.SEEDS), *MADE).provisional
    assert analysed(OURS, asks(log.SEEDS), *MADE).provisional
    assert not analysed(RUSTC, asks(log.RANDOM), *MADE).provisional


def test_how_long_something_took_asks_for_a_second_run_of_programs_that_are_not_known(analysed):
    assert analysed(OURS, asks(log.INTERVAL), *MADE).provisional
    assert analysed(RUSTC, asks(log.INTERVAL | log.BY_PLUGIN), *MADE).provisional
    assert not analysed(RUSTC, asks(log.INTERVAL), *MADE).provisional
    assert not analysed(PYTHON, asks(log.INTERVAL), *MADE).provisional  # as it starts


def test_what_a_macro_of_rust_asks_is_asked_by_the_project(analysed, refusal):
    assert analysed(RUSTC, asks(log.RANDOM | log.BY_PLUGIN), *MADE).provisional
    assert analysed(RUSTC, asks(log.CLOCK), *MADE)
    assert refusal(RUSTC, asks(log.CLOCK | log.BY_PLUGIN), *MADE) == "it asked what time it is"


def test_how_much_memory_there_is_concerns_programs_that_are_not_known(analysed, refusal):
    assert analysed(RUSTC, asks(log.RESOURCES), *MADE)
    assert analysed(PYTHON, asks(log.RESOURCES), *MADE)
    assert "/proc" in refusal(OURS, asks(log.RESOURCES), *MADE)


def test_an_empty_input_that_was_read_must_be_empty_again(analysed):
    assert analysed(RUSTC, asks(log.NO_INPUT), *MADE).found_none == {log.NO_INPUT}
    assert not analysed(RUSTC, *MADE).found_none


# ---- rustc --------------------------------------------------------------------------------------

COMPILES = ("rustc", "-C", "incremental=/w/target/i", "-L", "dependency=/w/target/deps", "a.rs")


def test_names_beside_a_crate_are_no_input_of_rustc_and_of_others_they_are(analysed):
    listed = at(log.LIST, "/w/target/deps")

    assert (
        Fact(analysis.F_NAMES, "/w/target/deps")
        not in analysed(RUSTC, listed, *MADE, words=COMPILES).facts
    )
    assert (
        Fact(analysis.F_NAMES, "/w/target/deps")
        in analysed(OURS, listed, *MADE, words=COMPILES).facts
    )
    assert (
        Fact(analysis.F_NAMES, "/w/src")
        in analysed(RUSTC, at(log.LIST, "/w/src"), *MADE, words=COMPILES).facts
    )


def test_what_rustc_remembers_is_neither_input_nor_output(analysed):
    kept = "/w/target/i/a-1"
    found = analysed(
        RUSTC,
        at(log.MKDIR, kept),
        at(log.LIST, kept),
        at(log.WRITE, f"{kept}/new/x.o", flags=log.NEW),
        at(log.SECOND_NAME, f"{kept}/new/x.o", OUT),
        at(log.RENAME, f"{kept}/new", f"{kept}/done"),
        hosted(OUT, log.OUTPUT, b"o"),
        words=COMPILES,
    )

    assert [(each.kind, each.path) for each in found.outputs] == [(analysis.FILE, OUT)]
    assert not [fact for fact in found.facts if fact.path.startswith("/w/target/i")]


# ---- second names -------------------------------------------------------------------------------


def test_a_second_name_of_what_stays_is_refused_and_one_of_what_goes_is_a_file(analysed, refusal):
    first = "/w/build/t"
    linked = (GCC, at(log.WRITE, first, flags=log.NEW), at(log.SECOND_NAME, first, OUT))
    ends = hosted(OUT, log.OUTPUT, b"o")

    gone = analysed(*linked, at(log.GONE, first), ends, hosted(first, log.OUTPUT, None))

    assert [each.path for each in gone.outputs] == [OUT]
    assert "a link" in refusal(*linked, ends, hosted(first, log.OUTPUT, b"o"))
    assert "a link" in refusal(GCC, at(log.SECOND_NAME, "/w/a.c", OUT), ends)


def test_what_is_in_a_directory_that_a_step_made_is_no_input(analysed):
    found = analysed(
        GCC,
        at(log.MKDIR, "/w/build/d"),
        at(log.LIST, "/w/build/d"),
        hosted("/w/build/d", log.OUTPUT, mode=0o40755),
    )

    assert not [fact for fact in found.facts if fact.path == "/w/build/d"]


def test_what_others_made_is_gone_although_the_step_made_it_anew_meanwhile(analysed):
    """`rm -rf d && mkdir d && work in d && rm -rf d`, where there was a d with a file in it."""
    found = analysed(
        GCC,
        at(log.GONE, "/w/build/d/x"),
        at(log.GONE, "/w/build/d"),
        at(log.MKDIR, "/w/build/d"),
        at(log.WRITE, "/w/build/d/x", flags=log.TRUNCATED),
        at(log.WRITE, "/w/build/d/new", flags=log.NEW),
        at(log.GONE, "/w/build/d/x"),
        at(log.GONE, "/w/build/d/new"),
        at(log.GONE, "/w/build/d"),
        *(hosted(f"/w/build/d{name}", log.OUTPUT, None) for name in ("", "/x", "/new")),
    )

    gone = {each.path for each in found.outputs}
    assert gone == {"/w/build/d", "/w/build/d/x"}
    assert {each.kind for each in found.outputs} == {analysis.GONE}


# ---- where a name leads -------------------------------------------------------------------------


def test_directories_on_the_way_to_a_name_are_no_input_with_their_times(analysed):
    way = ("/w", "/w/d", "/w/d/gen.py")
    alone = ("/w/e", "/x/y", "/x/y/z")  # nothing in it, or nothing above it

    found = analysed(PYTHON, *(at(log.LSTAT, path) for path in (*way, *alone)), *MADE)
    strict = analysed(OURS, *(at(log.LSTAT, path) for path in way), *MADE)

    assert {each.path for each in found.facts if each.kind == analysis.F_LSTAT} == {"/w", "/w/d"}
    times = {each.path for each in found.facts if each.kind == analysis.LTIMES}
    assert times == {"/w/d/gen.py", *alone}
    assert {each.path for each in strict.facts if each.kind == analysis.LTIMES} == {*way}


def test_a_directory_that_a_program_found_in_a_list_is_an_input_with_its_times(analysed):
    asked = [at(log.LSTAT, path) for path in ("/w", "/w/d", "/w/d/e", "/w/d/e/f")]

    found = analysed(PYTHON, *asked, at(log.LIST, "/w/d"), *MADE)

    times = {each.path for each in found.facts if each.kind == analysis.LTIMES}
    assert times == {"/w/d/e", "/w/d/e/f"}


def test_a_directory_that_a_program_stats_is_an_input_with_its_times(analysed):
    asked = [at(log.LSTAT, path) for path in ("/w", "/w/d", "/w/d/gen.py")]

    found = analysed(PYTHON, *asked, at(log.STAT, "/w/d"), *MADE)

    assert Fact(analysis.TIMES, "/w/d") in found.facts


# ---- what stands for a compiler, and what comes with a project ----------------------------------

CCACHE = program("/usr/bin/ccache")
IN_CACHE = (at(log.READ, "/home/u/.cache/ccache/1"), at(log.WRITE, "/home/u/.cache/ccache/2"))
HOME = environment(HOME="/home/u")


def test_a_step_through_ccache_is_one_of_its_compiler(analysed):
    found = analysed(HOME, CCACHE, asks(log.CLOCK), asks(log.RANDOM), *IN_CACHE, GCC, *MADE)

    assert [each.path for each in found.outputs] == [OUT]
    assert not [fact for fact in found.facts if "/.cache/" in fact.path]


def test_ccache_is_known_by_the_name_of_a_compiler_too(analysed):
    assert analysed(HOME, program("/usr/lib/ccache/gcc"), *IN_CACHE, GCC, *MADE)


def test_what_ccache_answers_is_not_cached(refusal):
    assert "ccache answered it" in refusal(HOME, CCACHE, *IN_CACHE, *MADE)
    link = program("/usr/lib/ccache/gcc")
    assert "ccache answered it" in refusal(HOME, link, *IN_CACHE, *MADE)


def test_a_cache_in_a_hosted_directory_is_part_of_the_tree(refusal):
    kept = "/w/build/ccache/stats"
    files = (at(log.WRITE, kept), hosted(kept, log.OUTPUT, b"1"))

    where = environment(HOME="/home/u", CCACHE_DIR="/w/build/ccache")
    assert "changed a file" in refusal(where, CCACHE, *files, GCC, *MADE)


def test_a_compiler_that_others_run_is_none_that_ccache_ran(analysed, refusal):
    """`ccache gcc -c a.c && gcc -c b.c && ar ...`, of which ccache answered the first."""
    others = (program("/usr/bin/gcc", process=7), program("/usr/bin/ar", process=8))
    three = {"enlisted": 3, "started": 3, "vouched": 3}

    assert "ccache answered it" in refusal(HOME, CCACHE, *IN_CACHE, *MADE, *others, **three)
    assert analysed(HOME, CCACHE, others[0], *IN_CACHE, others[1], *MADE, **three)


def test_ccache_is_asked_where_it_caches(analysed, tmp_path):
    (tmp_path / "ccache.conf").write_text("max_size = 1G\n  cache_dir = /data/cache \n")
    where = environment(HOME="/home/u", CCACHE_DIR=str(tmp_path), CCACHE_TEMPDIR="/data/tmp")
    files = [f"/data/{name}/x" for name in ("cache", "tmp")] + [f"{tmp_path}/x"]

    found = analysed(where, CCACHE, *(at(log.WRITE, each) for each in files), GCC, *MADE)

    assert [each.path for each in found.outputs] == [OUT]


@pytest.mark.parametrize("helper", ["scripts/basic/fixdep", "tools/objtool/objtool"])
def test_helpers_of_the_kernels_build_take_no_times(analysed, helper):
    name = f"/w/build/{helper}"
    found = analysed(program(name), hosted(name, log.INPUT, b"x"), at(log.STAT, "/w/a.c"), *MADE)

    assert Fact(analysis.F_STAT, "/w/a.c") in found.facts
    assert not found.needs_rest


# ---- what the user says -------------------------------------------------------------------------


def test_a_program_that_is_called_blind_may_ask_for_times(analysed, refusal):
    records = (OURS, at(log.STAT, "/w/a.c"), asks(log.CLOCK), *MADE)

    assert refusal(*records) == "it asked what time it is"
    found = analysed(*records, rules=Rules(blind=("ge*",)))
    assert Fact(analysis.F_STAT, "/w/a.c") in found.facts
    assert found.needs_rest


def test_a_cache_of_a_program_is_neither_input_nor_output(analysed):
    found = analysed(
        OURS,
        at(log.READ, "/home/u/.cache/gen/1"),
        at(log.WRITE, "/home/u/.cache/gen/2", flags=log.NEW),
        *MADE,
        rules=Rules(caches=("/home/u/.cache/gen",)),
    )

    assert [each.path for each in found.outputs] == [OUT]
    assert not [fact for fact in found.facts if "cache" in fact.path]


def test_what_is_renamed_into_a_cache_leaves_the_place_where_it_was(refusal):
    moved = at(log.RENAME, "/w/build/b", "/home/u/.cache/gen/b")

    assert "had not made" in refusal(
        OURS, moved, *MADE, rules=Rules(caches=("/home/u/.cache/gen",))
    )


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("/w/node_modules/.bin/tsc", "tsc"),
        ("node_modules/typescript/lib/tsc.js", "tsc"),
        ("/w/tools/tsc.js", "node"),
        ("", "node"),
    ],
)
def test_a_compiler_that_is_a_script_is_known_by_where_it_is(script, name):
    assert programs.name_of("/usr/bin/node", "node", script) == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/usr/bin/x86_64-linux-gnu-gcc-12", "gcc"),
        ("/r/gcc-ld/ld.lld", "ld.lld"),
        ("/r/bin/rust-lld", "rust-lld"),
        ("/usr/bin/clang-14", "clang"),
    ],
)
def test_compilers_are_known_by_their_names(path, name):
    assert programs.name_of(path, path) == name
    assert programs.is_compiler(name)


@pytest.mark.parametrize(
    ("name", "first", "arguments", "keeps"),
    [
        ("ar", "rcU", "", True),
        ("gcc-ar", "r", "/usr/bin/gcc-ar r -U a.a a.o", True),
        ("ar", "rc", "cc -c U.c && ar rcU a.a U.o", True),
        ("ar", "rcs", "ar rcs libU.a U/a.o", False),
        ("as", "U", "ar rcU a.a U.o", False),
        ("tsc", "", "node /w/node_modules/.bin/tsc -b", True),
        ("tsc", "", "node node_modules/typescript/lib/tsc.js --build src", True),
        ("tsc", "", 'sh -c ;\n"node_modules/.bin/tsc" -b', True),
        ("tsc", "", "sh build.sh", True),
        ("tsc", "", "sh -c ;\ntsc $FLAGS", True),
        ("tsc", "", "sh -c ;\ntsc -p build --noEmit", False),
        ("tsc", "", "sh -c ;\ntsc", False),
        ("tsc", "", "node /w/node_modules/typescript/lib/tsc.js -p build -b", False),
    ],
)
def test_which_programs_use_times_of_files(name, first, arguments, keeps):
    assert programs.uses_times(name, first, arguments) is keeps


def test_a_date_that_cmake_makes_is_made_to_be_told(analysed, refusal):
    cmake = program("/usr/bin/cmake")

    assert analysed(cmake, asks(log.CLOCK), *MADE)
    assert "a date" in refusal(cmake, asks(log.CLOCK), asks(log.CALENDAR), *MADE)


def test_who_tells_limits_or_all_variables_needs_the_same_ones(analysed):
    shell = program("/bin/sh")

    assert analysed(shell, asks(log.LIMITS), *MADE).needs_rest
    assert analysed(program("/usr/bin/env"), *MADE).needs_rest
    assert analysed(shell, *MADE, words=("sh", "-c", "awk '{ print ENVIRON[1] }'")).needs_rest
    assert not analysed(shell, *MADE).needs_rest
    assert not analysed(GCC, asks(log.LIMITS), *MADE).needs_rest


def test_how_busy_the_machine_is_concerns_all_but_compilers_and_what_starts(analysed, refusal):
    assert analysed(GCC, asks(log.LOAD), *MADE)
    assert analysed(PYTHON, asks(log.LOAD), *MADE)  # as it starts
    assert "how busy" in refusal(OURS, asks(log.LOAD), *MADE)
    assert "how busy" in refusal(RUSTC, asks(log.LOAD | log.BY_PLUGIN), *MADE)


def test_the_bytes_of_a_file_count_that_diff_finds_to_be_another_by_its_inode(analysed):
    found = analysed(program("/usr/bin/diff"), at(log.STAT, "/w/a"), *MADE)

    assert Fact(analysis.CONTENT, "/w/a", questions.WHOLE) in found.facts


def test_an_archiver_goes_on_with_the_archive_that_is_there():
    assert not programs.replaces("ar", "rcs", "ar rcs lib.a a.o")
    assert not programs.replaces("llvm-ranlib", "lib.a", "llvm-ranlib lib.a")
    assert programs.replaces("ld", "", "gcc a.o -o p")
