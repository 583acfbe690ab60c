"""Tools that look at times to find what there is to do: cmake in its makefiles, `tsc --build`; and
scripts that ask for the times of a file that they have open.

In: builds in which they find nothing to do, then an edit of the same size. Out: what a native build
would make.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from support.harness import Velo, run_native, tool
from support.replayed import TOML, Workspace, until_old

CMAKE = {
    "CMakeLists.txt": "cmake_minimum_required(VERSION 3.16)\nproject(p C)\n"
    "add_compile_definitions(X=1)\nadd_executable(app a.c)\n",
    "a.c": '#include <stdio.h>\n#include "x.h"\nint main(void) { printf("%d%d", V, X); }\n',
    "x.h": "#define V 1\n",
    "y.h": "#define V 2\n",
}
# As TypeScript's compiler does it: a source that is older than what was made of it is not read.
TSC = """\
#!/usr/bin/env node
const fs = require('fs');
const at = (name) => fs.existsSync(name) ? fs.statSync(name).mtimeMs : 0;
if (at('in') >= at('build/out')) fs.writeFileSync('build/out', fs.readFileSync('in'));
"""
NPM = {
    "package.json": '{"name": "p", "private": true, "scripts": {"build": "tsc --build"}}',
    "node_modules/typescript/bin/tsc": TSC,
    "in": "one",
}


class Repeated(Workspace):
    """A workspace in which a command is run again and again."""

    def __init__(self, root: Path, velo: Velo, files: dict[str, str], *command: str) -> None:
        super().__init__(root, velo, "build")
        self.hosted.mkdir()
        self._command = command
        for name, text in files.items():
            self.edit(name, text)

    def settle(self) -> None:
        until_old(self.root.rglob("*"))  # hosted files are read, too

    def again(self) -> int:
        """How many steps were answered."""
        self.run(*self._command)
        return self.counts()[0]


def test_makefiles_of_cmake_see_an_edit_that_keeps_the_size(workspace, velo):
    tool("cmake"), tool("gcc")
    made = Repeated(workspace(toml=TOML), velo, CMAKE, tool("make"), "-C", "build")
    run_native("cmake", "-G", "Unix Makefiles", "-S", ".", "-B", "build", cwd=made.root)

    def said() -> str:
        return run_native("build/app", cwd=made.root).stdout

    made.again(), made.again(), made.again()
    assert made.again() > 0  # they find nothing to do
    assert said() == "11"
    made.edit("CMakeLists.txt", CMAKE["CMakeLists.txt"].replace("X=1", "X=7"))
    made.again()
    assert said() == "17"
    made.again(), made.again(), made.again()
    made.edit("a.c", CMAKE["a.c"].replace("x.h", "y.h"))
    made.again()
    made.again()  # here cmake reads that a.c includes another file
    assert said() == "27"
    made.edit("y.h", "#define V 9\n")
    made.again()
    assert said() == "97"


def test_a_build_of_typescript_sees_an_edit_that_keeps_the_size(workspace, velo):
    made = Repeated(workspace(toml=TOML), velo, NPM, tool("npm"), "run", "--silent", "build")
    (made.root / "node_modules/.bin").mkdir()
    (made.root / "node_modules/.bin/tsc").symlink_to("../typescript/bin/tsc")
    (made.root / "node_modules/typescript/bin/tsc").chmod(0o755)
    made.again(), made.again(), made.again()
    assert made.again() == 1  # it finds nothing to do

    made.edit("in", "two")
    made.again()

    assert (made.root / "build/out").read_text() == "two"


OF_OPEN = {  # what a script prints of a file that it has open
    "python3": "import os; f = open('in'); print(int(os.fstat(f.fileno()).st_mtime))",
    "perl": "open(my $f, '<', 'in'); print((stat $f)[9], chr(10))",
    "node": "const fs = require('fs'); const fd = fs.openSync('in');"
    " console.log(Math.floor(fs.fstatSync(fd).mtimeMs / 1000))",
    "node --no-warnings": "require('fs').promises.open('in').then(async (file) =>"
    " console.log(`${(await file.stat({bigint: true})).mtimeNs / 10n ** 9n}`))",
    "python3 -B": "import os; f = open('in'); print(int(os.stat(f.fileno()).st_mtime))",
    "perl -n": "print((stat ARGV)[9], chr(10)); last",
    "ruby --disable-gems": "File.open('in') { |f| puts f.mtime.to_i }",
}
OF_A_FORK = "import os\nopen('in').read()\nif os.fork(): os.wait()\nelse: import asks\n"
WAYS = [(each, "file") for each in ("python3", "perl", "node", "ruby --disable-gems")]
WAYS += [("node --no-warnings", "file"), ("python3 -B", "file"), ("python3", "fork")]
WAYS += [("python3", "module"), ("perl -n", "text"), ("ruby --disable-gems", "text")]


@pytest.mark.parametrize(("runtime", "way"), WAYS)
def test_a_script_that_asks_for_times_of_an_open_file_is_run_when_they_change(
    workspace, velo, runtime, way
):
    tool(runtime.split()[0])
    command = f"{runtime} script"
    files = {"in": "one\n", "script": OF_OPEN[runtime]}
    if way == "module":
        files |= {"script": "import asks\n", "asks.py": OF_OPEN[runtime]}
    if way == "fork":
        files |= {"script": OF_A_FORK, "asks.py": OF_OPEN[runtime]}
    if way == "text":
        command = f"{runtime} -e {shlex.quote(OF_OPEN[runtime])} in".replace("$", "$$")
    files["Makefile"] = f"build/out:\n\t{command} > $@\n"
    made = Repeated(workspace(toml=TOML), velo, files, tool("make"), "-B")
    # What asks for chance, as an interpreter may, is kept when a second run has made the same. A
    # module is compiled by the first, outside of the hosted directory.
    for _ in range(3 if way in ("module", "fork") else 2):
        made.again()
    assert made.again() == 1, made.steps()
    run_native("touch", "-d", "2003-03-03", "in", cwd=made.root)

    made.again()

    said = (made.root / "build/out").read_text()
    assert said == run_native("date", "-d", "2003-03-03", "+%s", cwd=made.root).stdout


OF_A_NAME = {  # what a script prints of a directory that it walked by before
    "python3": "import os; path = os.path.realpath(os.path.abspath('sub/x'))\n"
    "print(int(os.lstat(os.path.dirname(path)).st_mtime))",
    "python3 -B": "import os; path = os.path.realpath(os.path.abspath('sub/x'))\n"
    "print(int(os.stat(os.path.dirname(path), follow_symlinks=False).st_mtime))",
    "node": "const fs = require('fs'); fs.realpathSync('sub/x');"
    " console.log(Math.floor(fs.lstatSync('sub').mtimeMs / 1000))",
}


@pytest.mark.parametrize("runtime", OF_A_NAME)
def test_a_script_that_asks_for_times_of_a_directory_is_run_when_they_change(
    workspace, velo, runtime
):
    tool(runtime.split()[0])
    makefile = f"build/out:\n\t{runtime} script > $@\n"
    files = {"sub/x": "", "script": OF_A_NAME[runtime], "Makefile": makefile}
    made = Repeated(workspace(toml=TOML), velo, files, tool("make"), "-B")
    made.again(), made.again()
    assert made.again() == 1, made.steps()
    run_native("touch", "-d", "2003-03-03", "sub", cwd=made.root)

    made.again()

    said = (made.root / "build/out").read_text()
    assert said == run_native("date", "-d", "2003-03-03", "+%s", cwd=made.root).stdout
