"""Waiting threads sleep early, by what the loaded library itself says."""

import os
import re
import subprocess
import sys

import pytest

from zeroshot.running.scratch import PROJECT
from zeroshot.running.spinning import ASKED_FOR


def counts(*command: str, **environment: str) -> set[str]:
    """What every OpenMP library that a program loads says of its spinning."""
    unasked = {name: value for name, value in os.environ.items() if name not in ASKED_FOR}
    said = subprocess.run([sys.executable, *command], cwd=PROJECT, text=True, capture_output=True, check=True,
                          env={**unasked, "OMP_DISPLAY_ENV": "verbose", **environment}).stderr
    return set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", said)) or pytest.skip("no OpenMP of GNU's here")


LOAD = """if 1:
    import ctypes, importlib.util, pathlib, sys
    assert "torch" not in sys.modules
    for library in (pathlib.Path(importlib.util.find_spec("torch").origin).parent / "lib").glob("libgomp*"):
        ctypes.CDLL(library)"""


# A stage's package is loaded before it, and so before its torch.
@pytest.mark.parametrize(("package", "asked", "spins"), [
    ("stages", {}, {"1000"}), ("tools", {}, {"1000"}), ("benchmarks", {}, {"1000"}),
    ("zeroshot.__main__", {}, {"1000"}),
    ("stages", {"GOMP_SPINCOUNT": "77"}, {"77"}), ("stages", {"OMP_WAIT_POLICY": "passive"}, {"0"})])
def test_unless_the_user_asks_otherwise(package, asked, spins):
    assert counts("-c", f"import {package}\n{LOAD}", **asked) == spins
