import os
import shutil
import subprocess
import sys

import pytest

from zeroshot.running.scratch import PROJECT


@pytest.fixture
def project(tmp_path):
    for name in ("stages", "zeroshot", "tools", "presets"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "dvc.yaml", tmp_path)
    shutil.copy(PROJECT / "presets" / "demo.yaml", tmp_path / "params.yaml")
    for name in ("images", "weights"):
        (tmp_path / "data" / name).mkdir(parents=True)
    return tmp_path


def run(project, module="tools.check_params", *arguments):
    return subprocess.run([sys.executable, "-m", module, *arguments], cwd=project, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_a_long_stage_refuses_to_start_while_a_later_stages_section_or_input_is_wrong(project):
    text = (project / "params.yaml").read_text()
    assert run(project).returncode == 0
    for right, wrong in (("  csls_neighbours:", "  csls_neighbors:"), ("weights: data/weights", "weights: data/w")):
        text = text.replace(right, wrong)
    (project / "params.yaml").write_text(text)
    ended = run(project, "stages.prepare_corpus", "--text", "x", "--taxonomy", "x", "--out", "out", "--metrics", "m")
    assert ended.returncode == 1 and "Traceback" not in ended.stderr and not (project / "out").exists()
    assert "unknown key `fit_closed_form.csls_neighbors`" in ended.stderr
    assert "data/w: no such file or folder (params.yaml: pretrain_cnn.weights)" in ended.stderr
