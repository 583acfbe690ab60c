"""Each way in which a cache of steps is known to answer wrongly, tried on one build.

In: a workspace in which each step is one hazard; replay/hazards.toml names them. It is built,
removed, edited, and built again. Out: what became of each step, and a tree as the native build's.
"""

from __future__ import annotations

import json
import shutil
import stat
import time
from pathlib import Path
from typing import NamedTuple

from support.harness import Velo, run_native, tool
from support.replayed import TOML

LATE_S = 60.0  # a deadline, not a wait
SETTLED_S = 0.1  # an input changed within 20 ms before a step makes it uncached
HIT, RUN, NEVER, ANY = "replayed", "run", "not cached", ""  # RUN: for whatever reason


class Case(NamedTuple):
    command: str
    outcome: str  # of the second build
    edit: str = ":"  # between the builds
    stands: str = ":"  # what stands in build/ before the second one, and before the native one
    differs: bool = False  # two native runs do


CASES = {
    "has_include": Case("gcc -E -P has.c -o $out", RUN, "echo > optional.h"),
    "header_deleted": Case("cat gone.h > $out 2>/dev/null || true", RUN, "rm gone.h"),
    "edit_mtime_back": Case(
        "cat back > $out", RUN, "cp -p back kept; echo b > back; touch -r kept back"
    ),
    "date_macro": Case("gcc -E -P date.c -o $out", NEVER, differs=True),
    "pragma_once_twin": Case(
        "gcc -E -P -Itwins twin.c -o $out", RUN, "touch -r twins/a/one.h twins/b/one.h"
    ),
    "once_by_a_link": Case(
        "gcc -E -P -Icur -Iv1 led.c -o $out", RUN, "ln -sfn v2 cur; echo int v1\\; > v1/led.h"
    ),
    "ar_no_d": Case("ar rcU $out member 2>/dev/null", RUN, "touch -d 2003-03-03 member"),
    "ar_index": Case(
        "gcc -c object.c -o build/t.o; ar rcsU $out build/t.o; rm build/t.o", NEVER, differs=True
    ),
    "build_id": Case("gcc -Wl,--build-id=uuid crash.c -o $out", NEVER, differs=True),
    "touch_d": Case("touch -d 2001-01-01 $out", NEVER),
    "copied_with_times": Case("cp -p in $out", NEVER),
    "modes": Case("cat in > $out; chmod 751 $out", HIT),
    "symlink_out": Case("ln -sf ../in $out", HIT),
    "link_out": Case("rm -f build/one; echo > build/one; ln -f build/one $out", NEVER),
    "list": Case("ls names > $out", RUN, "echo > names/new"),
    "out_exists": Case("cat in > $out", HIT, stands="echo old > build/out_exists"),
    "tmp_cycle": Case("cat in > build/t; cat build/t > $out; rm build/t", HIT),
    "temporary_name": Case(
        "t=$$(mktemp build/XXXXXXXX); echo $$t > $out; rm $$t", ANY, differs=True
    ),
    "urandom": Case("head -c 8 /dev/urandom > $out", NEVER, differs=True),
    "proc_read": Case("cat /proc/uptime > $out", NEVER, differs=True),
    "socket_step": Case("python3 socket_step.py $out", NEVER),
    "order": Case("echo o1; echo e1 >&2; echo o2; echo > $out", HIT),
    "crash": Case("./crash; echo > $out", NEVER),
    "static_child": Case("./static in $out", NEVER),
    "daemon": Case("(sleep 0.2; echo > build/late) > /dev/null 2>&1 & echo > $out", NEVER),
    "future": Case("cat future > $out", NEVER),
    "tool_update": Case("./tool > $out", RUN, "cp other tool"),
    "raw_open": Case("./raw > $out", RUN, "echo b > rawly"),
    "opaque_edit": Case("./static opaque build/mid; echo > $out", NEVER, "echo b > opaque"),
    "after_opaque": Case("cat build/mid > $out", RUN),
    "epoch_number": Case("date +%s > $out", NEVER, differs=True),
    "clock_of_python": Case("python3 clock.py $out", NEVER, differs=True),
    "logging_of_python": Case("python3 logs.py $out", ANY),
    "logged_times": Case("python3 logs.py $out message", NEVER, differs=True),
    "clock_after_logging": Case("python3 logs.py $out time", NEVER, differs=True),
    "stale_names": Case(
        "rm -rf build/stale_names_; mkdir build/stale_names_; echo > build/stale_names_/new;"
        " echo > $out",
        ANY,
        stands="mkdir build/stale_names_; echo > build/stale_names_/old",
    ),
    "signal": Case("sleep 100 & kill $$!; echo > $out", NEVER),
    "shared_memory": Case("./shared > $out", NEVER),
    "fifo": Case("mkfifo build/pipe; rm build/pipe; echo > $out", NEVER),
    "awk_chance": Case("awk 'BEGIN { srand(); print rand() }' > $out", NEVER, differs=True),
    "awk_file": Case("awk -f dice > $out", NEVER, differs=True),
    "bash_file": Case("bash stamp.sh > $out", NEVER, differs=True),
    "bash_sourced": Case("bash -c '. ./moment' > $out", NEVER, differs=True),
    "bash_keyword": Case("bash -c 'time cat in' > $out 2>&1", NEVER, differs=True),
    "bash_prompt": Case(
        "bash -c 'x=\"\\\\D{%s}\"; echo $${x@P}' > $out", NEVER, differs=True
    ),
    "bash_trace": Case(
        "PS4='\\D{%s} ' bash -xc 'cat in' > $out 2>&1", NEVER, differs=True
    ),
    "dash_times": Case("cat in > $out; times >> $out", RUN, differs=True),
    "bash_temporary": Case("bash temporary.sh $out", HIT),
    "bash_piped": Case("cat moment | bash > $out", NEVER, differs=True),
    "bash_evaluated": Case("bash -c 'eval \"$$(cat moment)\"' > $out", NEVER, differs=True),
    "bash_of_a_program": Case("./system > $out", NEVER, differs=True),
    "awk_given": Case('awk "$$(cat dice)" > $out', NEVER, differs=True),
    "awk_in_a_script": Case("sh awk.sh > $out", NEVER, differs=True),
    "inode": Case("stat -c %i kept_in > $out", RUN, "cp -p kept_in t; mv t kept_in"),
    "links": Case("stat -c %h linked > $out", RUN, "ln linked linked.2"),
    "heads_of_diff": Case("diff -U 1 in other.c > $out || true", RUN, "touch -d 2004-04-04 in"),
    "load": Case("python3 load.py $out", NEVER, differs=True),
    "room_left": Case("df --output=avail . > $out", NEVER, differs=True),
    "resolver": Case("python3 resolver.py $out", NEVER),
    "networks": Case("./networks > $out", NEVER),
    "socket_alone": Case("./socket_alone > $out", NEVER),
    "standard_input": Case("cat said | cat /dev/stdin > $out", ANY, "echo b > said"),
    "executable": Case("if [ -x gen ]; then echo y; else echo n; fi > $out", ANY, "chmod -x gen"),
    "loop": Case("cat round > $out 2>/dev/null || true", ANY, "rm round; echo > round"),
    "out_mode": Case(
        "cat in > $out", ANY, stands="echo old > build/out_mode; chmod 600 build/out_mode"
    ),
    "out_is_symlink": Case("cat in > $out", ANY, stands="ln -s other_place build/out_is_symlink"),
    "closed_parent": Case(
        "mkdir -p build/d; cat in > build/d/f; echo > $out", ANY, stands="mkdir -m 2755 build/d"
    ),
    "chmod_of_anothers": Case("chmod 700 build/modes; echo > $out", NEVER),
    "touched_now": Case("cat in > $out; touch $out", HIT),
    "directories": Case("mkdir -p build/x/y; cat in > build/x/y/z; echo > $out", HIT),
    "long_output": Case("head -c 100000 long > $out", HIT),
    "descriptor": Case("exec 7< by_number; cat /proc/self/fd/7 > $out", ANY, "echo b > by_number"),
    "python": Case("python3 copy.py $out", ANY, "echo 'TEXT = 2' > module.py"),
    "catalogue": Case("./messages > $out", RUN, "./messages foreign"),
    "locale_path": Case("LOCPATH=$$PWD/names locale decimal_point > $out", NEVER),
    "newer": Case("if [ in -nt old ]; then echo y; else echo n; fi > $out", RUN, "touch old"),
    "handed_on": Case("gzip < in > $out", RUN, "touch -d 2004-04-04 in"),
    "newer_in_a_fork": Case("bash forks.sh > $out", RUN, "touch old"),
}  # fmt: skip
AFTER = {"after_opaque": "opaque_edit", "chmod_of_anothers": "modes"}
TEXTS = {
    "has.c": '#if __has_include("optional.h")\nint yes;\n#else\nint no;\n#endif\n',
    "date.c": "char text[] = __TIME__;\n",
    "led.c": "#if __has_include(<led.h>)\n#include <led.h>\n#endif\nint end;\n",
    "object.c": "int object;\n",
    "twin.c": '#include "a/one.h"\n#include "b/one.h"\n',
    "twins/a/one.h": "#pragma once\nint twin;\n",
    "twins/b/one.h": "#pragma once\nint twin;\n",
    "socket_step.py": "import socket, sys\nsocket.socket().close()\nopen(sys.argv[1], 'w').close()",
    "logs.py": "import logging, sys, time\nfile, *more = sys.argv[1:]\n"
    "if more == ['time']: print(time.time_ns(), file=open(file, 'w'))\n"
    "elif more: logging.basicConfig(format='%(asctime)s %(msecs)f', filename=file)\n"
    "else: open(file, 'w').write(logging.__name__)\n"
    "if more == ['message']: logging.warning('')\n",
    "clock.py": "import sys, time\nopen(sys.argv[1], 'w').write(str(time.time()))",
    "load.py": "import os, sys\nopen(sys.argv[1], 'w').write(str(os.getloadavg()))",
    "resolver.py": "import socket, sys\n"
    "open(sys.argv[1], 'w').write(socket.gethostbyname('localhost'))",
    "copy.py": "import sys\nimport module\nopen(sys.argv[1], 'w').write(str(module.TEXT))",
    "module.py": "TEXT = 1\n",
    "dice": "BEGIN { srand(); print rand() }\n",
    "awk.sh": "awk -f dice\n",
    "stamp.sh": "printf '%(%F)T %s\\n' -1 $RANDOM\n",
    "forks.sh": "[ -e in ] && [ -e old ] && (. ./comparison)\n",
    "comparison": "if [ in -nt old ]; then echo y; else echo n; fi\n",
    "moment": "echo $EPOCHREALTIME\n",
    "temporary.sh": "t=build/conf$$-$RANDOM; cat in > $t; cat $t > $1; rm $t\n",
    "names/old": "",
    "long": "l" * 100_000,
}
LETTERS = "gone.h back member in opaque rawly said by_number future gen old kept_in linked"
PROGRAMS = {
    "messages": """\
#include <libintl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
int main(int argc, char **argv)
{
    const unsigned head[11] = {0x950412de, 0, 1, 28, 36, 0, 44, 4, 44, 7, 49};
    if (argc > 1) { /* makes the catalogue */
        mkdir("po", 0755), mkdir("po/xx", 0755), mkdir("po/xx/LC_MESSAGES", 0755);
        FILE *out = fopen("po/xx/LC_MESSAGES/app.mo", "w");
        fwrite(head, sizeof head, 1, out);
        fwrite("text", 5, 1, out), fwrite(argv[1], 8, 1, out);
        return fclose(out);
    }
    setlocale(LC_ALL, "C.UTF-8");
    setenv("LANGUAGE", "xx", 1);
    bindtextdomain("app", "po");
    return puts(dgettext("app", "text")) < 0;
}
""",
    "crash": "int main(void) { __builtin_trap(); }\n",
    "tool": '#include <stdio.h>\nint main(void) { puts("a"); }\n',
    "other": '#include <stdio.h>\nint main(void) { puts("b"); }\n',
    "raw": """\
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
    char text[9];
    const long fd = syscall(SYS_openat, AT_FDCWD, "rawly", O_RDONLY);
    return write(1, text, (size_t)read((int)fd, text, sizeof text)) < 0;
}
""",
    "shared": """\
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void)
{
    char name[40];
    snprintf(name, sizeof name, "/velo-test-hazard-%d", (int)getpid());
    const int fd = shm_open(name, O_CREAT | O_RDWR, 0600);
    return fd < 0 || shm_unlink(name) != 0 || puts("shared") < 0;
}
""",
    "networks": """\
#include <ifaddrs.h>
#include <stdio.h>
int main(void)
{
    struct ifaddrs *all;
    return getifaddrs(&all) != 0 || puts(all == NULL ? "none" : all->ifa_name) < 0;
}
""",
    "system": """\
#include <stdlib.h>
int main(void) { return system("bash -c 'echo $RANDOM$RANDOM'"); }
""",
    "socket_alone": """\
#include <stdio.h>
#include <sys/socket.h>
int main(void) { return socket(AF_INET, SOCK_DGRAM, 0) < 0 || puts("made") < 0; }
""",
    "static": """\
#include <fcntl.h>
#include <unistd.h>
int main(int count, char **words)
{
    char text[9];
    const int from = open(words[1], O_RDONLY), to = open(words[2], O_CREAT | O_WRONLY, 0644);
    return count != 3 || write(to, text, (size_t)read(from, text, sizeof text)) < 0;
}
""",
}


def command_of(name: str) -> str:
    return CASES[name].command.replace("$out", f"build/{name}")


def prepare(root: Path) -> None:
    for name in ("build", "twins/a", "twins/b", "names", "v1", "v2"):
        (root / name).mkdir(parents=True)
    for name, text in (TEXTS | dict.fromkeys(LETTERS.split(), "a\n")).items():
        (root / name).write_text(text)
    for name, text in PROGRAMS.items():
        (root / f"{name}.c").write_text(text)
        static = ["-static"] if name == "static" else []
        run_native("gcc", f"{name}.c", "-o", name, *static, cwd=root)
    setting = "ln -s v1 cur; ln -s round round; chmod +x gen; touch -d 2000-01-01 old"
    setting += "; touch -d '+1 day' future; touch -d 2002-02-02 twins/b/one.h"
    run_native("sh", "-c", setting, cwd=root)
    rules = "builddir = build\nrule step\n  command = $cmd\n"
    for name in CASES:
        after = f" | build/{AFTER[name]}" if name in AFTER else ""
        rules += f"build build/{name}: step{after}\n  cmd = {command_of(name)}\n"
    (root / "build.ninja").write_text(rules)


def clean(root: Path) -> None:
    shutil.rmtree(root / "build")
    (root / "build").mkdir()
    run_native("sh", "-c", "; ".join(case.stands for case in CASES.values()), cwd=root)


def build(velo: Velo, root: Path) -> dict[str, tuple[str, str]]:
    """What became of each step, and why."""
    present = time.time()
    changed = [each.lstat().st_ctime for each in root.rglob("*")]
    newest = max((each for each in changed if each <= present), default=present)
    while time.time() < newest + SETTLED_S:
        time.sleep(SETTLED_S / 10)
    velo.exec(tool("ninja"), "-j2", cwd=root)
    steps = json.loads(velo.run("explain", "--json", cwd=root).stdout)["steps"]
    of = {command_of(name).replace("$$", "$"): name for name in CASES}
    return {of.get(step["step"], step["step"]): (step["outcome"], step["reason"]) for step in steps}


def tree(root: Path) -> dict[str, object]:
    """What is below build/, when the step that leaves a process behind has had its way."""
    deadline = time.monotonic() + LATE_S
    while not (root / "build/late").exists() and time.monotonic() < deadline:
        time.sleep(SETTLED_S / 10)
    found: dict[str, object] = {}
    for path in sorted((root / "build").rglob("*")):
        name, mode = str(path.relative_to(root / "build")), path.lstat().st_mode
        if not name.startswith(".ninja") and not (name in CASES and CASES[name].differs):
            plain = path.read_bytes() if stat.S_ISREG(mode) else b""
            found[name] = oct(mode), str(path.readlink()) if path.is_symlink() else plain
    return found


def test_each_hazard_ends_as_it_does_natively(workspace, velo):
    tool("gcc")
    root = workspace(toml=TOML)
    prepare(root)
    build(velo, root)
    clean(root)
    run_native("sh", "-c", "; ".join(case.edit for case in CASES.values()), cwd=root)

    became = build(velo, root)

    ours = tree(root)
    clean(root)
    run_native(tool("ninja"), "-j2", cwd=root)
    theirs = tree(root)
    found = [
        f"{name}: {ours.get(name)}, natively {theirs.get(name)}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    for name, case in CASES.items():
        outcome, reason = became.get(name, ("no step", ""))
        is_wrong = outcome == HIT if case.outcome == RUN else case.outcome not in ("", outcome)
        if is_wrong:
            found.append(f"{name}: {outcome} {reason}, not {case.outcome}")
    assert not found, "\n".join(found)
