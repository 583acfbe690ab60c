"""Other compilers, and cargo, npm: their steps are answered as those of gcc, ninja and make are.

In: small workspaces. Out: which steps were replayed, and what is there afterwards, against the
same command run natively at the same place.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from support.harness import run_native, tool
from support.replayed import HOSTING, TOML, Workspace

# Where rustup, if that is what `cargo` is, keeps the toolchains: taken before HOME is moved away.
RUSTUP_HOME = Path(os.environ.get("RUSTUP_HOME") or Path.home() / ".rustup")
SUPPORT = Path(__file__).parents[1] / "support"


# ---- what others compile with -------------------------------------------------------------------


def test_a_compilation_through_ccache_is_answered_and_is_right_about_a_header_that_appears(
    workspace, velo, tmp_path, monkeypatch
):
    tool("ccache"), tool("make"), tool("gcc")
    monkeypatch.setenv("CCACHE_DIR", str(tmp_path / "ccache"))
    made = Workspace(workspace(toml=TOML), velo, "build")
    made.edit("Makefile", "build/a.o:\n\tccache gcc -Ione -Itwo -c a.c -o $@\n")
    made.edit("a.c", '#include "h.h"\n')
    made.edit("one/other.h", "")
    made.edit("two/h.h", "int two;\n")
    made.hosted.mkdir(exist_ok=True)
    made.run("make")
    object_ = (made.hosted / "a.o").read_bytes()
    made.clean()
    made.run("make")

    assert made.counts() == (1, 0, 0), made.steps()
    assert (made.hosted / "a.o").read_bytes() == object_
    made.clean()
    shutil.rmtree(tmp_path / "ccache")
    made.edit("one/h.h", "int one;\n")
    made.run("make")

    assert made.counts() == (0, 1, 0), made.steps()
    assert b"one" in (made.hosted / "a.o").read_bytes()


@pytest.mark.parametrize("builder", ["make", "ninja"])
def test_a_link_whose_parts_are_compiled_side_by_side_is_answered(workspace, velo, builder):
    """gcc's linker runs make for that, on a makefile of its own, and its make runs `touch -r`."""
    tool("gcc"), tool("make")
    made = Workspace(workspace(toml=TOML), velo, "build")
    made.edit("m.c", "int f(int); int main(void) { return f(1); }\n")
    made.edit("f.c", "int f(int a) { return a + 1; }\n")
    made.edit("one", "#!/bin/sh\ngcc -O2 -flto -c $1.c -o build/$1.o\n", mode=0o755)
    link = "gcc -O2 -flto=2 build/m.o build/f.o -o build/m"
    made.edit("Makefile", f"all:\n\t./one m\n\t./one f\n\t{link}\n")
    rules = f"rule sh\n  command = $do\nbuild build/m: sh\n  do = ./one m && ./one f && {link}\n"
    made.edit("build.ninja", rules)
    made.hosted.mkdir(exist_ok=True)
    steps = {"make": 3, "ninja": 1}[builder]
    made.run(tool(builder))
    program = (made.hosted / "m").read_bytes()
    made.clean()
    made.run(tool(builder))

    assert made.counts() == (steps, 0, 0), made.steps()
    assert (made.hosted / "m").read_bytes() == program
    made.clean()
    made.edit("f.c", "int f(int a) { return a + 2; }\n")
    made.run(tool(builder))

    assert made.counts()[1] == min(steps, 2), made.steps()
    assert run_native("./build/m", cwd=made.root, check=False).returncode == 3


def test_headers_that_were_one_file_are_two_for_clang(workspace, velo):
    """It tells a file that it has by the inode at `#pragma once`; gcc by bytes and times."""
    tool("clang"), tool("make")
    made = Workspace(workspace(toml=TOML), velo, "build")
    made.edit("Makefile", "build/o:\n\tclang -E -P -I. o.c -o $@\n")
    made.edit("o.c", '#include "a/h.h"\n#include "b/h.h"\n')
    made.edit("a/h.h", "#pragma once\nint h;\n")
    made.edit("b/other.h", "")
    os.link(made.root / "a/h.h", made.root / "b/h.h")
    made.hosted.mkdir(exist_ok=True)
    made.run("make")
    made.clean()
    made.run("make")
    assert made.counts() == (1, 0, 0), made.steps()
    assert (made.hosted / "o").read_text().count("int h") == 1

    shutil.copy2(made.root / "b/h.h", made.root / "copy")
    os.replace(made.root / "copy", made.root / "b/h.h")
    made.clean()
    made.run("make")

    assert made.counts() == (0, 1, 0), made.steps()
    assert (made.hosted / "o").read_text().count("int h") == 2


def test_times_that_are_copied_to_an_output_are_a_reason_not_to_keep_it(workspace, velo):
    made = Workspace(workspace(toml=TOML), velo, "build")
    made.edit("old", "")
    made.edit("Makefile", "build/x:\n\ttouch build/x; touch -r old build/x\n")
    made.hosted.mkdir(exist_ok=True)
    for _ in range(2):
        made.clean()
        made.run(tool("make"))

    assert made.counts() == (0, 0, 1), made.steps()


def test_an_assembled_file_is_answered_unless_it_names_the_time(workspace, velo):
    tool("nasm"), tool("make")
    made = Workspace(workspace(toml=TOML), velo, "build")
    made.edit("Makefile", "all: build/a.o build/b.o\nbuild/%.o: %.asm\n\tnasm -f elf64 -o $@ $<\n")
    made.edit("a.asm", "mov eax, 1\n")
    made.edit("b.asm", "db __DATE__\n")
    made.hosted.mkdir(exist_ok=True)
    made.run("make")
    made.clean()
    made.run("make")

    assert made.counts() == (1, 0, 1), made.steps()


def test_a_catalogue_of_messages_is_answered(workspace, velo):
    # msgfmt asks for a random name, and for each directory above its output.
    tool("msgfmt"), tool("make")
    made = Workspace(workspace(toml=TOML), velo, "build")
    made.edit("Makefile", "build/de.mo: de.po\n\tmsgfmt -o $@ $<\n")
    made.edit("de.po", 'msgid "yes"\nmsgstr "ja"\n')
    made.hosted.mkdir(exist_ok=True)
    made.run("make")
    made.clean()
    made.run("make")

    assert made.counts() == (1, 0, 0), made.steps()
    assert b"ja" in (made.hosted / "de.mo").read_bytes()


# ---- cargo --------------------------------------------------------------------------------------

MANIFEST = """\
[package]
name = "{name}"
version = "0.1.0"
edition = "2021"
"""
LIBRARY = """\
pub fn answer() -> u32 {
    let unused = 1;
    include!(concat!(env!("OUT_DIR"), "/made.rs"))
}
"""
SCRIPT = """\
use std::{env, fs, path::Path};
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR").unwrap();
    fs::write(Path::new(&out).join("made.rs"), "41 + 1").unwrap();
}
"""
MAIN = 'fn main() {{ println!("{{}}{}", inner::answer()); }}\n'


@pytest.fixture
def crates(workspace, velo, monkeypatch) -> Workspace:
    tool("cargo")
    if RUSTUP_HOME.exists():
        monkeypatch.setenv("RUSTUP_HOME", str(RUSTUP_HOME))
    made = Workspace(workspace(toml=HOSTING.format("target")), velo, "target")
    dependency = '[dependencies]\ninner = { path = "inner" }\n'
    made.edit("Cargo.toml", MANIFEST.format(name="outer") + dependency)
    made.edit("src/main.rs", MAIN.format(""))
    made.edit("inner/Cargo.toml", MANIFEST.format(name="inner"))
    made.edit("inner/src/lib.rs", LIBRARY)
    made.edit("inner/build.rs", SCRIPT)
    made.hosted.mkdir(exist_ok=True)
    return made


@pytest.mark.long
def test_a_clean_cargo_build_is_replayed_and_cargo_finds_nothing_to_do(crates):
    crates.run(tool("cargo"), "build", "--offline")
    program = crates.hosted / "debug" / "outer"
    made = program.read_bytes()
    crates.clean()
    crates.run(tool("cargo"), "build", "--offline")

    replayed, run, not_cached = crates.counts()
    assert (run, not_cached) == (0, 0) and replayed >= 4, crates.steps()
    assert program.read_bytes() == made
    assert run_native(str(program), cwd=crates.root).stdout == "42\n"
    again = run_native(tool("cargo"), "build", "--offline", cwd=crates.root)
    assert "Compiling" not in again.stderr, again.stderr


@pytest.mark.long
def test_an_edit_of_a_crate_is_compiled_and_what_was_before_it_is_replayed(crates):
    crates.run(tool("cargo"), "build", "--offline")
    crates.edit("src/main.rs", MAIN.format("!"))
    crates.clean()

    crates.run(tool("cargo"), "build", "--offline")

    assert [each["outcome"] for each in crates.steps()].count("run") == 1, crates.steps()
    program = crates.hosted / "debug" / "outer"
    assert run_native(str(program), cwd=crates.root).stdout == "42!\n"


TESTED = """
#[test]
fn appends() {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open("ran").unwrap();
    writeln!(file, "ran").unwrap();
}
"""
DOCUMENTED = """/// ```
/// use std::io::Write;
/// let mut file = std::fs::OpenOptions::new().append(true).create(true).open("ran").unwrap();
/// writeln!(file, "ran").unwrap();
/// ```
"""


@pytest.mark.long
@pytest.mark.parametrize("command", ["check", "clippy"])
def test_what_cargo_checks_is_replayed(command, crates):
    known = run_native(tool("cargo"), command, "--help", cwd=crates.root, check=False)
    if known.returncode != 0:
        pytest.skip(f"needs cargo {command}")
    for _ in range(2):
        crates.clean()
        said = crates.run("sh", "-c", f"cargo {command} --offline 2>&1")
        assert "unused variable" in said

    replayed, run, not_cached = crates.counts()
    assert (run, not_cached) == (0, 0) and replayed >= 4, crates.steps()


@pytest.mark.long
def test_tests_of_cargo_are_run_and_what_they_are_compiled_of_is_replayed(crates):
    manifest = crates.root / "Cargo.toml"
    manifest.write_text(manifest.read_text() + "[workspace]\n")
    crates.edit("src/main.rs", MAIN.format("") + TESTED)
    crates.edit("inner/src/lib.rs", DOCUMENTED + LIBRARY)
    for _ in range(2):
        crates.clean()
        crates.run(tool("cargo"), "test", "--offline", "--workspace")

    replayed, run, not_cached = crates.counts()
    assert (run, not_cached) == (0, 0) and replayed >= 4, crates.steps()
    ran = [*crates.root.rglob("ran")]
    assert [each.read_text() for each in ran] == ["ran\n" * 2] * 2


PROBING = """\
use std::{env, fs, path::Path, process::Command};
fn main() {
    let out = env::var("OUT_DIR").unwrap();
    let probe = Path::new(&out).join("probe.rs");
    fs::write(probe, "pub fn probe() -> u32 { \\"no number\\" }").unwrap();
    let mut rustc = Command::new(env::var("RUSTC").unwrap());
    let probe = rustc.current_dir(&out).args(["--crate-type=lib", "--emit=metadata", "probe.rs"]);
    assert!(!probe.output().unwrap().status.success());
    fs::write(Path::new(&out).join("made.rs"), "41 + 1").unwrap();
}
"""


@pytest.mark.long
def test_a_build_script_that_probes_rustc_is_replayed_on_terminals_of_one_width(crates):
    tool("script")
    crates.edit("inner/build.rs", PROBING)
    outcomes = []
    for columns in 80, 80, 90:
        crates.clean()
        command = f"stty cols {columns}; cargo build --offline"
        crates.run("script", "-qefc", command, "/dev/null")
        steps = (each for each in crates.steps() if each["step"].endswith("build-script-build"))
        outcomes.append([each["outcome"] for each in steps])

    assert outcomes == [["run"], ["replayed"], ["run"]], crates.steps()


# ---- npm and node -------------------------------------------------------------------------------

PACKAGE = '{"name": "sample", "private": true, "scripts": {"build": "tsc", "test": "tsc"}}'
COMPILER = """\
#!/usr/bin/env node
const fs = require('fs');
const text = fs.readFileSync('in', 'utf8');
Date.now();
fs.mkdirSync('build/x', { recursive: true });
fs.writeFileSync('build/x/out.js', text);
"""


@pytest.fixture
def package(workspace, velo) -> Workspace:
    """A package whose compiler, as it is called and where it is, is TypeScript's."""
    tool("npm")
    made = Workspace(workspace(toml=TOML), velo, "build")
    made.edit("package.json", PACKAGE)
    made.edit("in", "one")
    made.edit("node_modules/typescript/bin/tsc", COMPILER, mode=0o755)
    (made.root / "node_modules/.bin").mkdir()
    (made.root / "node_modules/.bin/tsc").symlink_to("../typescript/bin/tsc")
    made.hosted.mkdir(exist_ok=True)
    return made


def test_a_script_of_npm_is_replayed_and_runs_again_when_a_source_changed(package):
    command = (tool("npm"), "run", "--silent", "build")
    package.run(*command)
    assert package.counts() == (0, 1, 0), package.steps()
    package.clean()
    package.run(*command)
    assert package.counts() == (1, 0, 0), package.steps()
    assert (package.hosted / "x/out.js").read_text() == "one"

    package.edit("in", "two")
    package.clean()
    package.run(*command)

    assert package.counts() == (0, 1, 0), package.steps()
    assert (package.hosted / "x/out.js").read_text() == "two"


def test_tests_of_npm_are_run(package):
    for _ in range(2):
        package.clean()
        package.run(tool("npm"), "test")
        assert package.counts() == (0, 0, 0), package.steps()
