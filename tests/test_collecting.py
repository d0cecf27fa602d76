"""Programs that make hundreds of thousands of lasting objects do not look through them again and again."""

import gc
import subprocess
import sys

import pytest

from zeroshot.naming.model import uncollected
from zeroshot.running.collecting import NEW
from zeroshot.running.scratch import PROJECT


@pytest.mark.parametrize("package", ["stages", "zeroshot.__main__"])
def test_garbage_is_looked_for_seldom(package):
    asked = f"import gc, {package}; print(gc.isenabled(), gc.get_threshold()[0])"
    said = subprocess.run([sys.executable, "-c", asked], cwd=PROJECT, text=True, capture_output=True, check=True)
    assert said.stdout.split() == ["True", str(NEW)]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_model_is_loaded_without_and_afterwards_all_is_as_its_user_had_it(wanted):
    before = gc.isenabled()
    try:
        (gc.enable if wanted else gc.disable)()
        with pytest.raises(KeyError), uncollected():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() is wanted
    finally:
        (gc.enable if before else gc.disable)()
