"""SHA-256 is Python's, in whatever pieces the bytes come, by the processor and by steps."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from support.drivers import answers, compiled

# Around the ends of blocks, where the padding changes.
LENGTHS = (0, 1, 3, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 1000, 4097)


@pytest.mark.parametrize("flags", [(), ("-DVELO_SHA256_BY_STEPS",)], ids=["processor", "steps"])
def test_digests_are_pythons(tmp_path: Path, flags: tuple[str, ...]) -> None:
    source = "../kernel/sha256.c"
    program = compiled(tmp_path / "sha256", "sha256_driver.c", source, flags=flags)
    chance = random.Random(1)
    texts = [chance.randbytes(length) for length in LENGTHS]
    for piece in (1, 7, 64, 100, 1 << 20):
        said = answers(program, str(piece), lines=[text.hex() for text in texts])
        assert said == [hashlib.sha256(text).hexdigest() for text in texts]
