import os
import signal
import subprocess
import sys
import textwrap
import types

import pytest
import torch

from zeroshot.base import scratch
from zeroshot.base.checkpoints import load_checkpoint, save_checkpoint
from zeroshot.base.files import atomic_write
from zeroshot.base.scratch import scratch_folder


@pytest.fixture(autouse=True)
def _root(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))


def test_the_same_run_finds_its_folder_again_and_another_does_not(tmp_path):
    with pytest.raises(KeyboardInterrupt), scratch_folder("s", margin=0.1) as folder:
        (folder / "state").write_text("half way")
        raise KeyboardInterrupt
    with scratch_folder("s", margin=0.2) as other:
        assert not any(other.iterdir())
    with scratch_folder("s", margin=0.1) as again:
        assert (again / "state").read_text() == "half way"
    assert not again.exists()
    assert list((tmp_path / "scratch" / "s").glob("*-0/*")) == []


def test_changed_code_is_another_run(tmp_path, monkeypatch):
    file = tmp_path / "zeroshot" / "base" / "changing.py"
    file.parent.mkdir(parents=True)
    monkeypatch.setattr(scratch, "PROJECT", tmp_path)
    monkeypatch.setitem(sys.modules, "changing", types.SimpleNamespace(__file__=str(file)))
    digests = {file.write_text(code) and scratch.code_digest() for code in ("x = 1", "x = 2")}
    assert len(digests) == 2


def test_two_equal_runs_at_once_do_not_share():
    with scratch_folder("s", x=1) as first, scratch_folder("s", x=1) as second:
        assert first != second


def test_a_killed_process_gives_its_folder_back():
    code = """
        import os, signal
        from zeroshot.base.scratch import scratch_folder
        with scratch_folder("s", x=1) as folder:
            if (folder / "state").exists():
                raise SystemExit(7)
            (folder / "state").write_text("from the dead")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    runs = [subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=os.environ).returncode for _ in range(2)]
    assert runs == [-signal.SIGKILL, 7]


def test_checkpoints_come_back_and_a_damaged_one_counts_as_none(tmp_path, capsys):
    path = tmp_path / "c"
    assert load_checkpoint(path) is None
    save_checkpoint(path, {"epoch": 3, "w": torch.arange(4.0), "rng": torch.get_rng_state()})
    assert load_checkpoint(path)["epoch"] == 3
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert load_checkpoint(path) is None and "damaged" in capsys.readouterr().err


def test_atomic_write_shows_nothing_until_it_is_whole(tmp_path):
    path = tmp_path / "f"
    with pytest.raises(ValueError), atomic_write(path) as file:
        file.write("half")
        raise ValueError
    assert list(tmp_path.iterdir()) == []
    with atomic_write(path) as file:
        file.write("whole\n")
        assert not path.exists()
    assert path.read_bytes() == b"whole\n"
