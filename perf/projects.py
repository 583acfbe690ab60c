"""The projects that replay is measured on, each in a place that is one side's.

In: a place. Out: sources in it, and how its build directory is made ready. Never: a copy of a
project's sources in this repository, or a build.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ground import Ground, Place, call

Prepared = tuple[Place, Callable[[], object]]
CONFIGURE = ("cmake", "-G", "Ninja", "-B", "build", "-S")
SWITCHED = 50  # sources that differ between two branches
MODULES = 300
LAUNCHER = """
#include <sys/socket.h>
#include <unistd.h>
int main(int count, char **words)
{
    return count < 2 || socket(AF_INET, SOCK_DGRAM, 0) < 0 ||
           execvp(words[1], words + 1);
}
"""
CRATES = """[package]
name = "many"
version = "0.1.0"
edition = "2021"
[dependencies]
clap = { version = "4", features = ["derive"] }
regex = "1"
serde = { version = "1", features = ["derive"] }
serde_json = "1"
serde_yaml = "0.9"
toml = "0.8"
rayon = "1"
tokio = { version = "1", features = ["full"] }
hyper = { version = "1", features = ["full"] }
tracing-subscriber = "0.3"
chrono = "0.4"
image = { version = "0.24", default-features = false, features = ["png"] }
tempfile = "3"
walkdir = "2"
rand = "0.8"
url = "2"
"""
TYPESCRIPT = """{"name": "many", "private": true, "scripts": {"build": "tsc --build"},
  "devDependencies": {"typescript": "5.6.3"}}
"""
TSCONFIG = """{"compilerOptions": {"composite": true, "target": "es2022", "module": "es2022",
  "outDir": "build", "rootDir": "src", "tsBuildInfoFile": "build/tsbuildinfo"},
  "include": ["src"]}
"""


GROUPING = """
export function g{number}_{index}<T extends {{ size: number }}>(all: readonly T[]): Groups<T> {{
  const found = new Map<string, T[]>();
  for (const each of all) {{
    const key = String(each.size % ({index} + 2));
    found.set(key, [...(found.get(key) ?? []), each]);
  }}
  return found;
}}
"""


def libuv(place: Place, *flags: str) -> Prepared:
    from support import sample

    sample.unpack(place.directory)
    return place, _configuring(place, ".", *flags)


def libarchive(place: Place) -> Prepared:
    from support import sources

    # It has a directory `build` of its own.
    shutil.copytree(sources.fetch("libarchive"), place.directory / "source", symlinks=True)
    return place, _configuring(place, "source")


def _configuring(place: Place, source: str, *flags: str) -> Callable[[], object]:
    """As this side does, once; then what that left is put back, which takes less time."""
    kept = place.directory / "configured"

    def configure() -> None:
        if kept.exists():
            shutil.copytree(kept, place.build, symlinks=True, dirs_exist_ok=True)
        else:
            place.run(*CONFIGURE, source, *_launcher_of(place), *flags)
            place.catch_up()
            shutil.copytree(place.build, kept, symlinks=True)

    return configure


def _launcher_of(place: Place) -> tuple[str, ...]:
    is_cache = place.side in ("ccache", "sccache")
    return (f"-DCMAKE_C_COMPILER_LAUNCHER={place.side}",) if is_cache else ()


def two_branches(place: Place) -> None:
    """`main`, and `other`, in which some sources have a constant more."""
    (place.directory / ".gitignore").write_text("/build\n/configured\n/velo.toml\n")
    call(["git", "init", "-q", "-b", "main"], cwd=place.directory)
    commit(place.directory, "main")
    call(["git", "switch", "-q", "-c", "other"], cwd=place.directory)
    sources = sorted((place.directory / "source/libarchive").rglob("*.c"))
    for number, source in enumerate(sources[:: max(1, len(sources) // SWITCHED)][:SWITCHED]):
        with open(source, "a") as file:
            name = f"velo_other_{number}"
            file.write(f"\nextern const int {name};\nconst int {name} = 1;\n")
    commit(place.directory, "other")
    call(["git", "switch", "-q", "main"], cwd=place.directory)


def commit(directory: Path, subject: str) -> None:
    who = ("-c", "user.name=perf", "-c", "user.email=perf@localhost")
    call(["git", "add", "-A"], cwd=directory)
    call(["git", *who, "commit", "-q", "-m", subject], cwd=directory)


def module(number: int) -> str:
    """A TypeScript module: imports some before it, and has types enough to be checked."""
    before = sorted({each for each in (number - 1, number - 2, number // 2) if 0 <= each < number})
    fields = " ".join(f"a{each}: T{each};" for each in before)
    calls = ", ".join(f"f{each}()" for each in before)
    return "\n".join(
        [
            *(f'import {{ f{each}, type T{each} }} from "./m{each}.js";' for each in before),
            "type Groups<T> = Map<string, T[]>;",
            f"export interface T{number} {{ name: string; size: number; {fields} }}",
            *(GROUPING.format(number=number, index=index) for index in range(20)),
            f"export function f{number}(): number {{ return [{calls}].length; }}\n",
        ]
    )


def rust(place: Place, home: Path) -> Prepared:
    """A program with a hundred dependencies and more, all of them in `home`."""
    (place.directory / "velo.toml").write_text('[live]\nmax_memory = "2GB"\n')
    (place.directory / "Cargo.toml").write_text(CRATES)
    (place.directory / "src").mkdir()
    (place.directory / "src/main.rs").write_text("fn main() {}\n")
    shutil.copy(home / "Cargo.lock", place.directory)
    target = place.directory / "target"
    return place, lambda: shutil.rmtree(target, ignore_errors=True)


def typescript(place: Place, cache: Path) -> Prepared:
    """300 modules, and the compiler from npm's `cache`."""
    from support import registries

    (place.directory / "package.json").write_text(TYPESCRIPT)
    (place.directory / "tsconfig.json").write_text(TSCONFIG)
    shutil.copy(cache / "package-lock.json", place.directory)
    home = [f"{key}={value}" for key, value in registries.npm_home(cache).items()]
    npm = ("npm", "ci", "--offline", "--no-audit", "--no-fund", "--ignore-scripts")
    call(["env", *home, *npm], cwd=place.directory)
    (place.directory / "src").mkdir()
    for number in range(MODULES):
        (place.directory / f"src/m{number}.ts").write_text(module(number))
    return place, place.clear


def musl(ground: Ground) -> Path:
    """A repository; a clone of it is configured and built with make."""
    from support import sources

    source = ground.scratch / "musl"
    sources.copy("musl", source)
    lines = '[live]\nmax_memory = "2GB"\naggressive_paths = ["obj/", "lib/"]\n'
    (source / "velo.toml").write_text(lines)
    call(["git", "init", "-q", "-b", "main"], cwd=source)
    commit(source, "musl")
    return source


def socket_launcher(ground: Ground) -> Path:
    """A program that opens a socket and becomes the compiler."""
    launcher = ground.scratch / "launcher"
    launcher.with_suffix(".c").write_text(LAUNCHER)
    call(["cc", "-O2", "-o", str(launcher), f"{launcher}.c"], cwd=ground.scratch)
    return launcher
