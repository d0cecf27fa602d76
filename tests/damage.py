"""Damaged files for the fuzz tests: 50 examples a reader, or 2,000 where `make fuzz` says so."""

import os
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from zeroshot.console.errors import InputError

EXAMPLES = 2000 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 50
fuzzed = settings(max_examples=EXAMPLES, deadline=20_000,  # ms: a hang
                  suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow,
                                         HealthCheck.data_too_large])


@st.composite
def damaged(draw, sound: bytes) -> bytes:
    """A few bytes changed, cut out or put in."""
    data = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        what = draw(st.sampled_from(["flip", "cut", "end", "insert", "zeros"]))
        if what == "flip" and data:
            data[at] ^= draw(st.integers(1, 255))
        elif what == "cut":
            del data[at:at + draw(st.integers(1, 600))]
        elif what == "end":
            del data[at:]
        elif what == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=40))
        else:
            data[at:at] = bytes(draw(st.sampled_from([1, 8, 512, 1024])))
    return bytes(data)


def read_or_refused(path: Path, data: bytes, read):
    """What `read(path)` returns, or None where it refuses by a message that names the file."""
    path.write_bytes(data)
    try:
        return read(path)
    except InputError as error:
        assert path.name in str(error) and "\\x" not in str(error).replace(str(path), ""), error
        return None
