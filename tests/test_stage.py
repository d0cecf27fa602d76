"""How a stage starts, seen from outside: a real module in a real process."""

import os
import shlex
import shutil
import subprocess
import sys
import textwrap

import pytest

from tests.processes import free_port
from zeroshot.base.scratch import PROJECT

SHARED = """
    import os
    from pathlib import Path
    from zeroshot.base.stage import run_stage

    def main(*, out: Path) -> None:
        import torch
        from zeroshot.base.processes import mean_over_processes, rank_and_size
        rank, size = rank_and_size()
        mean = mean_over_processes(torch.tensor(float(rank))).item()
        (out / f"{rank}").write_text(f"{size} {mean} {os.environ.get('NODE')}")

    if __name__ == "__main__":
        run_stage(main, shared=True, check_all_params=True)
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
    from zeroshot.base.errors import InputError
    from zeroshot.base.files import atomic_write
    from zeroshot.base.params import StageParams
    from zeroshot.base.stage import run_stage

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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full")
def test_a_full_disk_is_one_line_and_leaves_nothing(run, tmp_path):
    (tmp_path / ".there.partial").symlink_to("/dev/full")
    (tmp_path / "there").write_text("whole")
    full = run("--in-file", "there", "--name", "written anew")
    assert full.returncode == 1 and full.stderr.count("\n") == 1 and "a disk is full" in full.stderr
    assert (tmp_path / "there").read_text() == "whole" and not (tmp_path / ".there.partial").is_symlink()


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
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1", **variables}
        return subprocess.run([sys.executable, "-m", "stages.share", "--out", "."], cwd=tmp_path, env=environment,
                              capture_output=True, text=True)
    return tmp_path, run


def test_without_torchruns_variables_one_process_does_it_all(run_shared):
    folder, run = run_shared
    ended = run(ZEROSHOT_LAUNCH="nonsense")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (folder / "0").read_text() == "1 0.0 None" and (folder / "checked").read_text() == "."


def test_two_nodes_share_the_work(run_shared):
    folder, run = run_shared
    where = {"PET_NNODES": "2", "PET_NPROC_PER_NODE": "1", "PET_RDZV_BACKEND": "c10d",
             "ZEROSHOT_LAUNCH": f"{shlex.quote(sys.executable)} nodes.py 2"}
    ended = run(**where, PET_RDZV_ENDPOINT=f"localhost:{free_port()}")
    assert ended.returncode == 0, ended.stderr
    said = [(folder / str(rank)).read_text().split() for rank in range(2)]
    assert [words[:2] for words in said] == [["2", "0.5"]] * 2 and {words[2] for words in said} == {"0", "1"}
    command = f"2 {sys.executable} -m torch.distributed.run -m stages.share --out ."
    assert (folder / "launched").read_text() == command + "\n" and (folder / "checked").read_text() == "."


def test_a_launcher_that_is_not_there(run_shared):
    ended = run_shared[1](PET_NNODES="2", ZEROSHOT_LAUNCH="nonsense --nodes 2")
    assert (ended.returncode, ended.stderr) == (1, "ZEROSHOT_LAUNCH: there is no program 'nonsense'\n")
