"""How a stage starts, seen from outside: a real module in a real process."""

import os
import subprocess
import sys
import textwrap

import pytest

from zeroshot.base.scratch import PROJECT

STAGE = """
    from pathlib import Path
    from zeroshot.base.errors import InputError
    from zeroshot.base.params import StageParams
    from zeroshot.base.stage import run_stage

    class Params(StageParams):
        size: int

    def main(params: Params, *, in_file: Path, name: str = "nobody") -> None:
        if not in_file.exists():
            raise InputError(f"{in_file}: no such file")
        print(type(in_file).__mro__[1].__name__, name, params.size, 1 // params.size)

    if __name__ == "__main__":
        run_stage(main)
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "grow.py").write_text(textwrap.dedent(STAGE))
    (tmp_path / "there").touch()

    def run(*arguments, params="grow: {size: 1}"):
        (tmp_path / "params.yaml").write_text(params)
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        return subprocess.run([sys.executable, "grow.py", *arguments], cwd=tmp_path, env=environment,
                              capture_output=True, text=True)
    return run


def test_flags_and_params_reach_main(run):
    assert run("--in-file", "there").stdout.split() == ["Path", "nobody", "1", "1"]
    assert run("--in-file", "there", "--name", "me").stdout.split()[1] == "me"


def test_a_users_mistake_is_one_line_and_a_bug_keeps_its_traceback(run):
    mistake = run("--in-file", "gone")
    assert (mistake.returncode, mistake.stderr) == (1, "grow: gone: no such file\n")
    setting = run("--in-file", "there", params="grow: {size: big}")
    assert setting.returncode == 1 and "`grow.size` is 'big'" in setting.stderr and "Traceback" not in setting.stderr
    bug = run("--in-file", "there", params="grow: {size: 0}")
    assert bug.returncode == 1 and "ZeroDivisionError" in bug.stderr and "Traceback" in bug.stderr


def test_a_missing_flag_is_named(run):
    assert "--in-file" in run().stderr
