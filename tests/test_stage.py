"""How a stage starts, seen from outside: a real module in a real process."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from tests.processes import NO_SHARING, as_module, free_port, run_apart, run_together
from zeroshot.base.params import StageParams
from zeroshot.running.launch import launch
from zeroshot.running.scratch import PROJECT
from zeroshot.running.stage import _for_the_user

SHARED = """
    import os
    from pathlib import Path
    from zeroshot.console.errors import InputError
    from zeroshot.base.params import StageParams
    from stages import run_stage

    class Params(StageParams):
        refused_by: int

    def main(params: Params, *, out: Path) -> None:
        import torch
        from zeroshot.base import processes
        from zeroshot.base.processes import mean_over_processes, process_and_count
        processes.TURN = 2  # torchrun has little to end here
        rank, size = process_and_count()
        if rank == params.refused_by:
            raise InputError("a fault of this process alone")
        mean = mean_over_processes(torch.tensor(float(rank))).item()
        (out / f"{rank}").write_text(f"{size} {mean} {os.environ.get('NODE')}")

    if __name__ == "__main__":
        run_stage(main, shared=True, check_all_params=True)
"""
TORCH = """
    from pathlib import Path
    from zeroshot.base.params import StageParams
    from stages import run_stage

    class Params(StageParams):
        batch: int

    def main(params: Params, *, out: Path) -> None:
        import torch
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    if __name__ == "__main__":
        run_stage(main)
"""
NODES = """
    import os, subprocess, sys
    with open("launched", "a") as log:
        print(*sys.argv[1:], file=log)
    nodes = [subprocess.Popen(sys.argv[2:], env={**os.environ, "NODE": str(node)}) for node in range(int(sys.argv[1]))]
    sys.exit(max(node.wait() for node in nodes))
"""
STAGE = """
    from pathlib import Path
    from zeroshot.console.errors import InputError
    from zeroshot.base.files import atomic_write
    from zeroshot.base.params import StageParams
    from stages import run_stage

    class Params(StageParams):
        size: int

    def main(params: Params, *, in_file: Path, name: str = "nobody") -> None:
        if not in_file.exists():
            raise InputError(f"{in_file}: no such file")
        if name == "written anew":
            with atomic_write(in_file) as file:
                file.write("half")
        print(type(in_file).__mro__[1].__name__, name, params.size, 1 // params.size)

    if __name__ == "__main__":
        run_stage(main)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the stage in a copy of a process that has loaded torch, or `anew`, in one that has loaded nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grow.py").write_text(textwrap.dedent(STAGE))
    (tmp_path / "there").touch()

    def run(*arguments, params="grow: {size: 1}", anew=False):
        (tmp_path / "params.yaml").write_text(params)
        if not anew:
            return run_apart(as_program("grow.py", *arguments))
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        return subprocess.run([sys.executable, "grow.py", *arguments], env=environment, capture_output=True, text=True)
    return run


def as_program(file, *arguments):
    """Python code that runs a file as `python file arguments` would."""
    return f"import runpy, sys; sys.argv = {[file, *arguments]!r}; runpy.run_path({file!r}, run_name='__main__')"


def test_flags_and_params_reach_main(run):
    assert run("--in-file", "there", anew=True).stdout.split() == ["Path", "nobody", "1", "1"]
    assert run("--in-file", "there", "--name", "me").stdout.split()[1] == "me"


def test_a_stage_that_is_done_is_not_taken_apart(run, tmp_path):
    code = (tmp_path / "grow.py").read_text()
    (tmp_path / "grow.py").write_text('import atexit; atexit.register(print, "taken apart")\n' + code)
    assert run("--in-file", "there", anew=True).stdout.split() == ["Path", "nobody", "1", "1"]
    assert "taken apart" in run("--in-file", "gone", anew=True).stdout


def test_a_path_in_params_reaches_main_whatever_characters_it_has(run, tmp_path):
    name = """$(touch ran) `touch ran` "b" 'c'; & *"""
    (tmp_path / name).mkdir()
    params = json.dumps({"grow": {"size": 1}, "other": {"in": {"file": name}}})
    assert run("--in-file", "params:other.in.file", params=params).stdout.split() == ["Path", "nobody", "1", "1"]
    assert not (tmp_path / "ran").exists()
    for value, fault in (("~/x", "home folder"), (None, "expected the path"), (["x"], "expected the path")):
        refused = run("--in-file", "params:other.in", params=json.dumps({"grow": {"size": 1}, "other": {"in": value}}))
        assert refused.returncode == 1 and "`other.in`" in refused.stderr and fault in refused.stderr


def test_a_users_mistake_is_one_line_and_a_bug_keeps_its_traceback(run):
    mistake = run("--in-file", "gone")
    assert (mistake.returncode, mistake.stderr) == (1, "grow: gone: no such file\n")
    setting = run("--in-file", "there", params="grow: {size: big}")
    assert setting.returncode == 1 and "`grow.size` is 'big'" in setting.stderr and "Traceback" not in setting.stderr
    bug = run("--in-file", "there", params="grow: {size: 0}")
    assert bug.returncode == 1 and "ZeroDivisionError" in bug.stderr and "Traceback" in bug.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full")
def test_a_full_disk_is_one_line_and_leaves_nothing(run, tmp_path):
    (tmp_path / ".there.partial").symlink_to("/dev/full")
    (tmp_path / "there").write_text("whole")
    full = run("--in-file", "there", "--name", "written anew")
    assert full.returncode == 1 and full.stderr.count("\n") == 1 and "a disk is full" in full.stderr
    assert (tmp_path / "there").read_text() == "whole" and not (tmp_path / ".there.partial").is_symlink()


def test_no_place_for_checkpoints_is_one_line(run, tmp_path, monkeypatch):
    """And a stage that loads torch itself does not make others load it."""
    monkeypatch.setenv("ZEROSHOT_SCRATCH", "/proc/nope")
    (tmp_path / "grow.py").write_text(textwrap.dedent(STAGE).replace("    if not in_file.exists():", """
    import sys
    from zeroshot.running.scratch import scratch_folder
    assert "torch" not in sys.modules
    with scratch_folder("grow"):
        pass
    if not in_file.exists():"""))
    ended = run("--in-file", "there", anew=True)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("grow: /proc/nope/grow: checkpoints cannot be kept there (")


def test_a_gpu_whose_memory_is_full_is_one_line(run, tmp_path):
    (tmp_path / "grow.py").write_text(textwrap.dedent(TORCH))
    ended = run("--out", ".", params="grow: {batch: 8}")
    assert (ended.returncode, ended.stderr) == (
        1, "grow: CUDA out of memory. Tried to allocate 20.00 MiB; lower `grow.batch` in params.yaml, or end what else "
           "uses this GPU (`nvidia-smi` lists it)\n")


class Params(StageParams):
    batch: int
    deterministic: bool


SHORT = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 7.79 GiB of which 3 MiB is free"
LONG = SHORT + ". Process 7 has 7.7 GiB memory in use. Of the allocated memory 7.01 GiB is allocated by PyTorch"
NOT_DETERMINISTIC = ("cumsum_cuda_kernel does not have a deterministic implementation, but you set "
                     "'torch.use_deterministic_algorithms(True)'. You can turn off determinism")


@pytest.mark.parametrize(("params", "error", "said"), [
    (Params, torch.OutOfMemoryError(LONG), f"{SHORT}; lower `grow.batch` in params.yaml, or end"),
    (StageParams, torch.OutOfMemoryError(LONG), f"{SHORT}; end what else uses this GPU"),
    (Params, RuntimeError("CUDA error: out of memory\nCUDA kernel errors might"), "CUDA error: out of memory; lower"),
    (Params, RuntimeError(NOT_DETERMINISTIC), "torch has no deterministic implementation of cumsum_cuda_kernel on this "
                                              "device; set `grow.deterministic: false` in params.yaml"),
    (StageParams, RuntimeError(NOT_DETERMINISTIC), None), (Params, RuntimeError("a bug"), None)])
def test_torchs_errors_for_which_a_setting_is_the_remedy_are_one_line(params, error, said):
    told = _for_the_user(error, "grow", params)
    assert told is None if said is None else told.startswith(said) and "\n" not in told


def test_a_missing_flag_is_named(run):
    assert "--in-file" in run().stderr


@pytest.fixture
def run_shared(tmp_path):
    """Runs a stage that can share its work, in a project where what checks all params counts its calls."""
    for folder in ("stages", "tools"):
        (tmp_path / folder).mkdir()
        shutil.copy(PROJECT / folder / "__init__.py", tmp_path / folder)
    (tmp_path / "stages" / "share.py").write_text(textwrap.dedent(SHARED))
    (tmp_path / "tools" / "check_params.py").write_text("open('checked', 'a').write('.')")
    (tmp_path / "nodes.py").write_text(textwrap.dedent(NODES))

    def run(**variables):
        (tmp_path / "params.yaml").write_text("share: {refused_by: -1}")
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1", **variables}
        return subprocess.run([sys.executable, "-m", "stages.share", "--out", "."], cwd=tmp_path, env=environment,
                              capture_output=True, text=True)
    return tmp_path, run


def test_without_torchruns_variables_one_process_does_it_all(run_shared, monkeypatch):
    folder = run_shared[0]
    monkeypatch.chdir(folder)
    for name, value in (("ZEROSHOT_LAUNCH", "nonsense"), ("PYTHONPATH", str(PROJECT))):
        monkeypatch.setenv(name, value)
    Path("params.yaml").write_text("share: {refused_by: -1}")
    ended = run_apart(as_program("stages/share.py", "--out", "."))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (folder / "0").read_text() == "1 0.0 None" and (folder / "checked").read_text() == "."


@pytest.mark.on_the_cpu(NO_SHARING)
def test_two_nodes_share_the_work(run_shared):
    folder, run = run_shared
    where = {"PET_NNODES": "2", "PET_NPROC_PER_NODE": "1", "PET_RDZV_BACKEND": "c10d",
             "ZEROSHOT_LAUNCH": f"{shlex.quote(sys.executable)} nodes.py 2"}
    ended = run(**where, PET_RDZV_ENDPOINT=f"localhost:{free_port()}")
    assert ended.returncode == 0 and "waiting for" not in ended.stderr, ended.stderr
    said = [(folder / str(rank)).read_text().split() for rank in range(2)]
    assert [words[:2] for words in said] == [["2", "0.5"]] * 2 and {words[2] for words in said} == {"0", "1"}
    command = f"2 {sys.executable} -m zeroshot.running.torchrun -m stages.share --out ."
    assert (folder / "launched").read_text() == command + "\n" and (folder / "checked").read_text() == "."


def test_a_launcher_that_is_not_there(run_shared):
    ended = run_shared[1](PET_NNODES="2", ZEROSHOT_LAUNCH="nonsense --nodes 2")
    assert (ended.returncode, ended.stderr) == (1, "ZEROSHOT_LAUNCH: there is no program 'nonsense'\n")


@pytest.mark.on_the_cpu(NO_SHARING)
def test_a_fault_that_all_processes_find_is_told_once(run_shared, monkeypatch):
    """Of what torchrun itself says then, tests/test_processes.py."""
    monkeypatch.chdir(run_shared[0])
    Path("params.yaml").write_text("share: {refused_by: many}")
    ended = run_together(as_program("stages/share.py", "--out", "."), 2)
    assert [process.returncode for process in ended] == [1, 1]
    [line] = "".join(process.stderr for process in ended).splitlines()
    assert line.startswith("share: params.yaml: `share.refused_by` is 'many'; expected: ")
    assert not Path("checked").exists()  # torchrun's caller has checked


@pytest.mark.on_the_cpu(NO_SHARING)
def test_a_fault_that_only_another_process_finds_is_told_by_it(run_shared, monkeypatch):
    """The first waits for it in vain, and need not say so."""
    monkeypatch.chdir(run_shared[0])
    for name, value in (("PET_NPROC_PER_NODE", "2"), ("PYTHONPATH", str(PROJECT))):
        monkeypatch.setenv(name, value)
    Path("params.yaml").write_text("share: {refused_by: 1}")
    ended = run_apart(as_module("zeroshot.running.torchrun", "-m", "stages.share", "--out", "."))
    assert ended.returncode == 1
    said, end = ended.stderr.splitlines()
    assert said == "share: a fault of this process alone"
    assert end.startswith("share: process 1 ended first, with exit status 1")


@pytest.mark.parametrize("nodes", ["2", "2:4"])
def test_nodes_that_nobody_starts_are_told_of(monkeypatch, capsys, nodes):
    monkeypatch.setenv("PET_NNODES", nodes)
    monkeypatch.delenv("ZEROSHOT_LAUNCH", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    become = []
    monkeypatch.setattr(os, "execvp", lambda *command: become.append(command))
    launch("stages.share", ["--out", "a b"])
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("share: waiting for 2 nodes (PET_NNODES)") and "ZEROSHOT_LAUNCH" in line
    assert "`python -m stages.share --out 'a b'`" in line
    monkeypatch.setenv("PET_NNODES", "1")
    launch("stages.share", [])
    assert capsys.readouterr().err == ""
    torchrun = [sys.executable, "-m", "zeroshot.running.torchrun", "-m", "stages.share"]
    assert become == [(sys.executable, [*torchrun, "--out", "a b"]), (sys.executable, torchrun)]


@pytest.mark.parametrize(("error", "line"), [
    (PermissionError(13, "Permission denied", "data/images"), "data/images: Permission denied"),
    (ConnectionResetError("gone\nfar"), "ConnectionResetError: gone far"), (KeyError("ours"), None)])
def test_errors_of_disks_and_networks_are_one_line_and_bugs_are_ours(error, line):
    assert _for_the_user(error, "grow", StageParams) == line
