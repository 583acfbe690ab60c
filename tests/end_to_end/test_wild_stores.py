"""Wild stores into the arena's table: the rounds of support/fuzz_meta.py that failed once."""

from __future__ import annotations

import pytest

from support import fuzz_meta

pytestmark = pytest.mark.long  # some seconds each


@pytest.mark.parametrize(
    "seed",
    [
        11,  # a name with a zero in it, one that its hash does not lead to: a loop, a traceback
        14,  # likewise
        109,  # circles in tables of heads
    ],
)
def test_no_command_crashes_hangs_or_says_a_traceback_after_wild_stores(seed):
    assert fuzz_meta.round_of(seed) == []
