"""The program that `velo exec` itself starts may be one that cannot be entered."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from support.harness import Velo

SOURCE = """#include <stdio.h>
int main(int c, char **v){char b[99];FILE*f=fopen("build/in","r");if(!f)return 3;fgets(b,99,f);
f=fopen("build/out","w");fputs(b,f);fclose(f);printf("%s %d\\n",v[0],c);return 7;}"""
WAYS = {"static": ("gcc", "-static"), "musl": ("musl-gcc",), "32 bit": ("gcc", "-m32", "-static")}


@pytest.mark.parametrize("way", WAYS)
def test_it_sees_what_is_in_memory_only_and_what_it_writes_is_seen(
    velo: Velo, workspace, way: str
) -> None:
    place = workspace()
    (place / "build").mkdir()
    (place / "p.c").write_text(SOURCE)
    compiler, *flags = WAYS[way]
    if shutil.which(compiler) is None:
        pytest.skip("needs musl-tools")
    made = subprocess.run([compiler, *flags, "-w", "-o", "p", "p.c"], cwd=place)
    if made.returncode != 0:
        pytest.skip("needs libc6-dev-i386")
    velo.run("exec", "--no-wait", "--", "sh", "-c", "echo hello > build/in", cwd=place)

    done = velo.exec("./p", "a", cwd=place, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (7, "./p 2\n", "")
    assert (place / "build/out").read_text() == "hello\n"
    assert velo.exec("cat", "build/out", cwd=place).stdout == "hello\n"
    status = json.loads(velo.run("status", "--json", cwd=place).stdout)
    assert status["processes"]["opaque"]["p"]["count"] == 1
