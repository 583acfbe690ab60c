"""`velo trace` says why: what became opaque, what went to disk early."""

from __future__ import annotations

import pytest

from support.harness import Velo, sentence

STATIC = "int main(void) { return 0; }"


@pytest.fixture
def place(workspace):
    made = workspace()
    (made / "build").mkdir()
    return made


def test_a_command_that_is_traced_says_what_it_ran_past_us(velo: Velo, place) -> None:
    (place / "p.c").write_text(STATIC)
    run = "gcc -static -o p p.c && ./p && echo hello > build/a && mv build/a a"

    velo.exec("sh", "-c", run, cwd=place, env={"VELO_TRACE": "opaque"})
    shown = velo.run("trace", "--topic", "opaque", "--off", cwd=place).stdout

    assert "escape: opaque" in shown
    assert "p cannot be entered" in shown
    assert "escape: across" in shown


def test_nothing_is_written_down_until_it_is_asked_for(velo: Velo, place) -> None:
    velo.exec("sh", "-c", "echo hello > build/a && mv build/a a", cwd=place)

    assert velo.run("trace", "--off", cwd=place).stdout == ""

    velo.exec("sh", "-c", "echo hello > build/a && mv build/a a", cwd=place)
    assert velo.run("trace", cwd=place).stdout == ""


def test_a_topic_that_does_not_exist_is_named(velo: Velo, place) -> None:
    velo.exec("true", cwd=place)

    done = velo.run("trace", "--topic", "weather", cwd=place, check=False)

    assert done.returncode == 2
    assert "weather" in sentence(done)
    refused = velo.exec("true", cwd=place, env={"VELO_TRACE": "weather"}, check=False)
    assert refused.returncode == 125
    assert "weather" in sentence(refused)


def test_without_a_server_it_says_so(velo: Velo, place) -> None:
    assert "no server" in sentence(velo.run("trace", cwd=place, check=False))
