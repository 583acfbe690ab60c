"""An id of one kind is of no use where one of another kind is wanted.

In: core/ids.h and what takes ids, given to the compiler a line at a time. Out: one test for each
pair of kinds. Never: a program that runs.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

INTERPOSE = Path(__file__).parent.parent.parent / "interpose"
KINDS = ("node", "name", "chunk")


def _compiles(line: str) -> bool:
    command = [os.environ.get("CC", "gcc"), "-std=gnu11", "-I", str(INTERPOSE), "-fsyntax-only"]
    text = f'#include "core/arena/pool.h"\n{line}\n'
    made = subprocess.run([*command, "-x", "c", "-"], input=text, capture_output=True, text=True)
    return made.returncode == 0


@pytest.mark.parametrize("given", [*(f"velo_{kind}_id" for kind in KINDS), "uint32_t"])
@pytest.mark.parametrize("wanted", KINDS)
def test_only_an_id_of_its_kind_leads_to_a_slot(wanted: str, given: str) -> None:
    line = f"void *at(struct velo_region *r, {given} id) {{ return velo_{wanted}_at(r, id); }}"
    assert _compiles(line) == (given == f"velo_{wanted}_id")


@pytest.mark.parametrize("given", KINDS)
@pytest.mark.parametrize("wanted", KINDS)
def test_only_an_id_of_its_kind_is_stored(wanted: str, given: str) -> None:
    line = (
        f"void set(struct velo_region *r, velo_{wanted}_id *field, velo_{given}_id id)"
        f" {{ velo_set_{wanted}(r, field, id); VELO_INIT_ID(*field, id); }}"
    )
    assert _compiles(line) == (given == wanted)
