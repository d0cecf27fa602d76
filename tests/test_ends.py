"""The end of a command: its exit status and what it says last."""

import shlex
import subprocess
import sys

import pytest

from zeroshot.console.ends import ended
from zeroshot.console.errors import InputError
from zeroshot.running.scratch import PROJECT


@pytest.mark.parametrize("status, expected", [(None, 0), (0, 0), (3, 3)])
def test_a_commands_own_status(status, expected):
    assert ended("it", lambda: status) == expected


def raising(error):
    def command():
        raise error
    return command


def test_what_its_user_can_mend_is_a_line(capsys):
    assert ended("it", raising(InputError("x is 3; expected 4"))) == 1
    assert capsys.readouterr().err == "it: x is 3; expected 4\n"
    assert ended("it", raising(KeyboardInterrupt())) == 130
    with pytest.raises(FileNotFoundError):  # a fault of ours keeps its traceback
        ended("it", raising(FileNotFoundError(2, "No such file or directory")))


SAY = "import sys; from zeroshot.console.ends import ended; sys.exit(ended('it', lambda: print('much ' * 100_000)))"


@pytest.mark.parametrize("end, status, said", [
    ("| head -c 4", 0, ""), ("> /dev/full", 1, "it: standard output: No space left on device\n"), (">&-", 0, "")])
def test_an_output_that_nobody_takes(end, status, said):
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(SAY)} {end}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, said)


def test_results_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from tools.show_results import main
    with pytest.raises(InputError, match="overview.md: no such file; `make run` makes it"):
        main()
