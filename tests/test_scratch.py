import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import types

import pytest
import torch

from tools import clean_scratch
from zeroshot.base.checkpoints import load_checkpoint, save_checkpoint
from zeroshot.base.files import atomic_write
from zeroshot.console.errors import InputError
from zeroshot.running import scratch
from zeroshot.running.scratch import scratch_folder


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
    monkeypatch.setitem(sys.modules, "zeroshot.base.changing", types.SimpleNamespace(__file__=str(file)))
    digests = set()
    for code in ("x = 1", "x = 2"):
        file.write_text(code)
        digests.add(scratch.code_digest())
    assert len(digests) == 2


def test_the_stage_that_runs_counts_and_others_code_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "PROJECT", tmp_path)
    (tmp_path / "stages").mkdir()
    none = scratch.code_digest()
    for name, file, same in (("__main__", tmp_path / "stages" / "a_stage.py", False),
                             ("zeroshot", tmp_path / "elsewhere.py", True)):
        file.write_text("x = 1")
        with monkeypatch.context() as within:
            within.setitem(sys.modules, name, types.SimpleNamespace(__file__=str(file)))
            assert (scratch.code_digest() == none) == same


def test_two_equal_runs_at_once_do_not_share(monkeypatch, capsys):
    monkeypatch.setattr(scratch, "LOCK_PATIENCE", 0.2)
    with scratch_folder("s", x=1) as first, scratch_folder("s", x=1) as second:
        (first / "state").touch()
        with scratch_folder("s", x=1) as third:
            assert len({first, second, third}) == 3
    [at_once, waits, gave_up] = capsys.readouterr().err.splitlines()
    assert f"{first}: taken by" in at_once and str(second) in at_once
    assert "waiting up to 0.2 s" in waits and f"{first}: taken by" in gave_up and str(third) in gave_up


def test_a_folder_that_its_holder_removes_meanwhile_is_nothing_to_wait_for(tmp_path):
    assert not scratch._holds_something(tmp_path / "gone")


def test_a_killed_run_that_takes_its_time_to_end_is_waited_for(monkeypatch, capsys):
    with pytest.raises(KeyboardInterrupt), scratch_folder("s", x=1) as folder:
        (folder / "state").write_text("half way")
        raise KeyboardInterrupt
    dying = open(folder.with_name(folder.name + ".lock"))
    fcntl.flock(dying, fcntl.LOCK_EX)
    monkeypatch.setattr(scratch, "_holds_something", lambda folder: threading.Timer(0.2, dying.close).start() or True)
    with scratch_folder("s", x=1) as again:
        assert (again / "state").read_text() == "half way"
    assert capsys.readouterr().err.count("\n") == 1


def test_a_lock_whose_file_was_removed_since_it_was_opened_is_none(tmp_path, monkeypatch):
    """The run before ends between our opening of its lock file and our locking."""
    path, locked = tmp_path / "lock", []

    def late(file, how, flock=fcntl.flock):
        if not locked:
            path.unlink()
        locked.append(how)
        return flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    lock = scratch._try_lock(path, 5)
    assert path.exists() and scratch._try_lock(path) is None
    lock.release()


@pytest.mark.parametrize("wanted", ["a file", "/proc/nope", "~nobody-at-all/x"])
def test_a_place_where_no_folder_can_be_made(tmp_path, monkeypatch, wanted):
    (tmp_path / "a file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZEROSHOT_SCRATCH", wanted)
    with pytest.raises(InputError, match="ZEROSHOT_SCRATCH.*local disk") as refused, scratch_folder("s"):
        pass
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(tmp_path, monkeypatch, code):
    def refuse(file, how):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InputError, match="cannot be kept there .*network file systems.*local disk"), \
            scratch_folder("s"):
        pass


def test_a_killed_process_gives_its_folder_back():
    code = """
        import os, signal
        from zeroshot.running.scratch import scratch_folder
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


def test_what_never_finished_is_removed_and_nothing_else(tmp_path, capsys):
    root = tmp_path / "scratch"
    for margin in (0.1, 0.2):
        with pytest.raises(KeyboardInterrupt), scratch_folder("pretrain_cnn", margin=margin) as folder:
            (folder / "last.pt").write_text("half way")
            raise KeyboardInterrupt
    others = [root / "thesis.txt", root / "photos" / "me.jpg", root / "points" / "kept.safetensors", root / "a" / "b-1"]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.write_text("mine")
    with scratch_folder("train_devise", margin=0.1) as under_way:
        (under_way / "last.pt").write_text("half way")
        clean_scratch.main()
        assert [path.name for path in root.glob("*/*-0")] == [under_way.name]
        assert (under_way / "last.pt").exists()
    assert all(other.read_text() == "mine" for other in others) and list(root.glob("pretrain_cnn/*")) == []
    said = f"{root}: checkpoints of 2 runs removed; those of 1, which are under way, stay\n"
    assert capsys.readouterr().out == said


def test_a_run_whose_folder_was_cleaned_away_ends_well(tmp_path):
    with scratch_folder("s", margin=0.1) as folder:
        shutil.rmtree(tmp_path / "scratch")
        atomic_write(folder / "last.pt")
    assert not folder.exists()
