"""The matrix: Rust, JavaScript, Go, Python and Java, each with its own build tool and tests.

Everything that a row needs from a registry is fetched before (registries.py); no row uses the
network.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from support import registries
from support.matrix import Bench, Row

pytestmark = pytest.mark.matrix
LANGUAGES = Path(__file__).parent / "languages"


def copy(name: str, place: Path) -> None:
    """The sources below languages/`name`, without `.txt` at the end of their names."""
    for path in sorted((LANGUAGES / name).rglob("*.txt")):
        target = place / path.relative_to(LANGUAGES / name).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text())


# ---- Rust ----------------------------------------------------------------------------------------

CARGO_SAYS = {
    r" in [0-9.]+m?s\b": "",
    r"-[0-9a-f]{16}\b": "-hash",  # of the test programs, which depend on the compiler's version
    r"(?m)^ *(Compiling|Fresh|Dirty) ": r"\1 ",
}


def rust(place: Path) -> None:
    copy("rust", place)
    home = registries.cargo_home((place / "Cargo.toml").read_text())
    (place / "Cargo.lock").write_bytes((home / "Cargo.lock").read_bytes())
    (place / "home").symlink_to(home)


RUST = Row(
    name="cargo: build script, proc-macro, -sys crate; test, touch, incremental, lock, clean",
    tools=("cargo", "rustc", "gcc", "ar"),
    prepare=rust,
    hosted=("target/",),
    environment={
        "CARGO_NET_OFFLINE": "true",
        "CARGO_BUILD_JOBS": "2",
        "CARGO_INCREMENTAL": "1",
        # A crate that is answered brings no incremental directory back: that is a cache. So all
        # run here, and what an answer would have been is compared.
        "VELO_REPLAY": "verify",
    },
    steps=(
        "export CARGO_HOME=$(realpath home); cargo build 2>&1 && target/debug/sample",
        "export CARGO_HOME=$(realpath home); cargo test 2>&1 && cargo build 2>&1",
        "export CARGO_HOME=$(realpath home); touch src/lib.rs; cargo build 2>&1;"
        " echo 'pub fn more() -> u32 { ANSWER + 1 }' >>src/lib.rs; cargo build 2>&1;"
        " ls target/debug/incremental | wc -l",
        # Two at once: the second waits for the lock of the target directory and says so, or comes
        # when the first is done; either way both are good and there is nothing left to do.
        "export CARGO_HOME=$(realpath home); touch src/lib.rs; cargo build -q & first=$!;"
        " cargo build -q; second=$?; wait $first && echo $? $second; cargo build 2>&1",
        "export CARGO_HOME=$(realpath home); exec 9<>target/debug/.cargo-lock; flock 9;"
        " cargo build 2>said & pid=$!; while ! grep -s Blocking said; do sleep 0.05; done;"
        " flock -u 9; wait $pid; cat said; rm said",
        "export CARGO_HOME=$(realpath home); cp -a target/debug/sample kept; cargo clean 2>&1"
        " | sed 's/[0-9.]*[KMG]iB/size/'; ls -A target; ./kept; cargo build -q 2>&1",
    ),
    idle="export CARGO_HOME=$(realpath home); cargo build -v 2>&1",
    idle_says="Fresh sample",
    parallel=True,
    ignored={
        "target/debug/incremental/*/*": "session directories have random names",
        "target/debug/.fingerprint/*/invoked.timestamp": "how long cargo took, in its time",
    },
    volatile={
        "target/debug/.fingerprint/*/dep-*": "cargo lists the files in the order of a hash table",
        "target/debug/deps/libsample-*.rlib": "incremental builds name their parts at random",
        "target/debug/libsample.rlib": "incremental builds name their parts at random",
        "target/debug/deps/sample-*": "incremental builds name their parts at random",
        "target/debug/sample": "incremental builds name their parts at random",
        "target/debug/*.d": "cargo writes them each time it is asked",
        "kept": "incremental builds name their parts at random",
        "target/.rustc_info.json": "what rustc said, in the order of a hash table",
    },
    scrubbed=CARGO_SAYS,
)

# ---- JavaScript ----------------------------------------------------------------------------------

NPM = {**registries.QUIET_NPM, "npm_config_offline": "true"}
NPM_SAYS = {r"\bin \d+(\.\d+)?m?s\b": "in time", r"in \d+ ms": "in time"}
BUILD_TOOLS = {"vite": "5.4.11", "webpack": "5.96.1", "webpack-cli": "5.1.4", "typescript": "5.6.3"}
# rollup's later programs for other machines are not on every mirror of the registry.
OVERRIDES = {"rollup": "4.20.0", "esbuild": "0.21.5"}
LIBRARIES = {"react": "18.3.1", "react-dom": "18.3.1", "lodash-es": "4.17.21"}
CROWD = {"@ant-design/icons": "5.5.1", "date-fns": "2.30.0", "rxjs": "7.8.1"}
FILES_MIN = 20_000


def javascript(place: Path, libraries: dict[str, str]) -> None:
    package = json.dumps(
        {
            "name": "sample",
            "version": "1.0.0",
            "private": True,
            "dependencies": libraries,
            "devDependencies": BUILD_TOOLS,
            "overrides": OVERRIDES,
        }
    )
    cache = registries.npm_cache(package)
    (place / "package.json").write_text(package)
    (place / "package-lock.json").write_bytes((cache / "package-lock.json").read_bytes())
    (place / ".npmrc").write_text(f"cache={cache}\n")


def application(place: Path) -> None:
    javascript(place, LIBRARIES | CROWD)


def bundled(place: Path) -> None:
    javascript(place, LIBRARIES)
    copy("javascript", place)


NPM_ROW = Row(
    name="npm ci, npm install and rm -rf node_modules of an application with > 20,000 files",
    tools=("node", "npm", "rm", "find"),
    prepare=application,
    hosted=("node_modules/",),
    environment=NPM,
    steps=(
        "npm ci 2>&1 && [ $(find node_modules -type f | wc -l) -gt 20000 ] && npm install 2>&1",
        "cd node_modules && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum"
        " && find . -printf '%p %y %m %l\n' | sort | sha256sum",
        "rm -rf node_modules && ls -A",
    ),
    parallel=True,
    scrubbed=NPM_SAYS,
)

NODE_GYP = "$(npm root -g)/npm/node_modules/node-gyp/bin/node-gyp.js"
BUNDLERS = Row(
    name="vite, webpack and tsc with esbuild, a native addon, node's test runner with children",
    tools=("node", "npm", "gcc", "make", "python3"),
    prepare=bundled,
    hosted=("node_modules/", "build/"),
    environment=NPM | {"NO_COLOR": "1"},
    steps=(
        "npm ci 2>&1",
        "npx vite build 2>&1 && npx webpack --no-color 2>&1 && node build/webpack/main.js",
        "npx tsc -p . && npx tsc -p . && node build/types/typed.js",
        "npx esbuild src/main.jsx --bundle --jsx=automatic --outfile=build/bundle.js"
        " --log-level=error && wc -c build/bundle.js",
        f"cd addon && node {NODE_GYP} rebuild --nodedir=/usr 2>&1 | grep -v 'gyp info'",
        "node --test test/ 2>&1 | grep -v duration_ms",
    ),
    idle="npx tsc -p . && npm install --dry-run 2>&1",
    idle_says="up to date",
    parallel=True,
    volatile={
        "node_modules/.cache/webpack/*": "times of day",
    },
    scrubbed=NPM_SAYS | {r"\([0-9.]+ms\)": "", r"built in [0-9.]+m?s": "built"},
)

# ---- Go, Python, Java ----------------------------------------------------------------------------

GO = Row(
    name="go build, go test, go run with a hosted GOCACHE",
    tools=("go",),
    prepare=lambda place: copy("go", place),
    environment={
        "CGO_ENABLED": "0",
        "GOFLAGS": "-buildvcs=false",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GOTELEMETRY": "off",
    },
    steps=(
        "export GOCACHE=$PWD/build/cache; mkdir -p build; echo before >build/before;"
        " go build -o build/program ./command && build/program build && ls build",
        "export GOCACHE=$PWD/build/cache; go vet ./... && go test ./... && go test ./...",
        "export GOCACHE=$PWD/build/cache; echo 'package main' >build/run.go;"
        " sed 1d command/main.go >>build/run.go; go run build/run.go build; ls build;"
        " cat build/written; stat -c '%a %s' build/written build/made",
        "export GOCACHE=$PWD/build/cache; touch command/main.go;"
        " go build -o build/program ./command && build/program build",
    ),
    idle="GOCACHE=$PWD/build/cache go build -v -o /dev/null ./command && echo idle",
    idle_says="^idle$",
    parallel=True,
    ignored={
        "build/cache/??/*": "each names or holds the time of day when it was made",
        "build/cache/trim.txt": "the time of day",
    },
    scrubbed={r"\t[0-9.]+s\b": "\tseconds", r"\t\(cached\)": "\tseconds"},
)


def python(place: Path) -> None:
    copy("python", place)
    found = registries.wheels("pytest==8.3.4", "markupsafe==3.0.2")
    (place / "wheels").symlink_to(found)
    (place / "build").mkdir()


PYTHON = Row(
    name="python: venv, pip install, pytest, pip uninstall inside a hosted directory",
    tools=("python3",),
    prepare=python,
    environment={
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PYTHONHASHSEED": "0",
        "PYTEST_ADDOPTS": "",  # whoever asks how long our tests take asks not these
    },
    steps=(
        f"{sys.executable} -m venv build/venv && ls build/venv/bin",
        "build/venv/bin/pip install --find-links wheels pytest markupsafe",
        "cp test_sample.py build && cd build"
        # Its own directories for tests: in /tmp it would clean up after who runs this row.
        " && PYTEST_DEBUG_TEMPROOT=. venv/bin/python -m pytest -q test_sample.py",
        "build/venv/bin/pip uninstall -y markupsafe && build/venv/bin/pip list"
        " && build/venv/bin/pip install --find-links wheels markupsafe",
    ),
    idle="build/venv/bin/pip check && build/venv/bin/pip install --find-links wheels pytest",
    idle_says="already satisfied",
    volatile={"*.pyc": "the time of its source, which pip leaves as that of the installation"},
    scrubbed={r"in [0-9.]+s": "in time", r"Processing \S+/": "Processing "},
)

JAVA = Row(
    name="javac, jar, and a program that walks, maps and locks files",
    tools=("java", "javac", "jar"),
    prepare=lambda place: copy("java", place),
    steps=(
        "mkdir build && javac --release 11 -d build/classes $(find src -name '*.java')"
        " && find build -type f | sort",
        "jar --create --file build/sample.jar --main-class sample.Main -C build/classes ."
        " && jar --list --file build/sample.jar | sort",
        "java -jar build/sample.jar build/one && java -cp build/classes sample.Main build/two",
    ),
    volatile={"build/sample.jar": "times of directories, in seconds"},
)

ROWS = [RUST, NPM_ROW, BUNDLERS, GO, PYTHON, JAVA]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_kernel_is_the_oracle(bench: Bench, row: Row) -> None:
    bench.check(row)
