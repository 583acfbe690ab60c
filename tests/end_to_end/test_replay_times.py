"""Tools that look at times to find what there is to do: cmake in its makefiles, `tsc --build`; and
scripts that ask for the times of a file that they have open.

In: builds in which they find nothing to do, then an edit of the same size. Out: what a native build
would make.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from support.harness import Velo, run_native, tool
from support.replayed import TOML, until_old

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


class Edited:
    """A workspace, in which a command is run again and again."""

    def __init__(self, root: Path, velo: Velo, command: tuple[str, ...]) -> None:
        self.root, self._velo, self._command = root, velo, command
        (root / "build").mkdir()

    def edit(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def run(self) -> int:
        """How many steps were answered."""
        until_old(self.root.rglob("*"))
        self._velo.exec(*self._command, cwd=self.root)
        counts = json.loads(self._velo.run("stats", "--json", cwd=self.root).stdout)
        return int(counts["last"]["replayed"])

    def explain(self) -> str:
        return self._velo.run("explain", cwd=self.root).stdout


def test_makefiles_of_cmake_see_an_edit_that_keeps_the_size(workspace, velo):
    tool("cmake"), tool("gcc")
    made = Edited(workspace(toml=TOML), velo, (tool("make"), "-C", "build"))
    made.edit(CMAKE)
    run_native("cmake", "-G", "Unix Makefiles", "-S", ".", "-B", "build", cwd=made.root)

    def said() -> str:
        return run_native("build/app", cwd=made.root).stdout

    made.run(), made.run(), made.run()
    assert made.run() > 0  # they find nothing to do
    assert said() == "11"
    made.edit({"CMakeLists.txt": CMAKE["CMakeLists.txt"].replace("X=1", "X=7")})
    made.run()
    assert said() == "17"
    made.run(), made.run(), made.run()
    made.edit({"a.c": CMAKE["a.c"].replace("x.h", "y.h")})
    made.run()
    made.run()  # here cmake reads that a.c includes another file
    assert said() == "27"
    made.edit({"y.h": "#define V 9\n"})
    made.run()
    assert said() == "97"


def test_a_build_of_typescript_sees_an_edit_that_keeps_the_size(workspace, velo):
    made = Edited(workspace(toml=TOML), velo, (tool("npm"), "run", "--silent", "build"))
    made.edit(NPM)
    (made.root / "node_modules/.bin").mkdir()
    (made.root / "node_modules/.bin/tsc").symlink_to("../typescript/bin/tsc")
    (made.root / "node_modules/typescript/bin/tsc").chmod(0o755)
    made.run(), made.run(), made.run()
    assert made.run() == 1  # it finds nothing to do

    made.edit({"in": "two"})
    made.run()

    assert (made.root / "build/out").read_text() == "two"


OF_OPEN = {  # what a script prints of a file that it has open
    "python3": "import os; f = open('in'); print(int(os.fstat(f.fileno()).st_mtime))",
    "perl": "open(my $f, '<', 'in'); print((stat $f)[9], chr(10))",
    "node": "const fs = require('fs'); const fd = fs.openSync('in');"
    " console.log(Math.floor(fs.fstatSync(fd).mtimeMs / 1000))",
    "perl -n": "print((stat ARGV)[9], chr(10)); last",
    "ruby --disable-gems": "File.open('in') { |f| puts f.mtime.to_i }",
}
WAYS = [(each, "file") for each in ("python3", "perl", "node", "ruby --disable-gems")]
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
    if way == "text":
        command = f"{runtime} -e {shlex.quote(OF_OPEN[runtime])} in".replace("$", "$$")
    files["Makefile"] = f"build/out:\n\t{command} > $@\n"
    made = Edited(workspace(toml=TOML), velo, (tool("make"), "-B"))
    made.edit(files)
    assert 1 in (made.run() for _ in range(5)), made.explain()
    run_native("touch", "-d", "2003-03-03", "in", cwd=made.root)

    made.run()

    said = (made.root / "build/out").read_text()
    assert said == run_native("date", "-d", "2003-03-03", "+%s", cwd=made.root).stdout
