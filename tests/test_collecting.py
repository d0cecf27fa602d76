"""Programs that make hundreds of thousands of lasting objects do not look through them again and again."""

import subprocess
import sys

import pytest

from zeroshot.running.collecting import NEW
from zeroshot.running.scratch import PROJECT


@pytest.mark.parametrize("package", ["stages", "zeroshot.__main__"])
def test_garbage_is_looked_for_seldom(package):
    asked = f"import gc, {package}; print(gc.isenabled(), gc.get_threshold()[0])"
    said = subprocess.run([sys.executable, "-c", asked], cwd=PROJECT, text=True, capture_output=True, check=True)
    assert said.stdout.split() == ["True", str(NEW)]
