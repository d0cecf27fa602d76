import os
import shutil
import subprocess
import sys

import pytest
import yaml

from tools import check_params
from tools.check_params import not_in_copies
from zeroshot.running.copies import HINT, hint_for
from zeroshot.running.scratch import PROJECT


@pytest.fixture
def project(tmp_path):
    for name in ("stages", "zeroshot", "tools", "presets"):
        shutil.copytree(PROJECT / name, tmp_path / name)  # with its bytecode
    shutil.copy(PROJECT / "dvc.yaml", tmp_path)
    shutil.copy(PROJECT / "presets" / "demo.yaml", tmp_path / "params.yaml")
    for name in ("images", "weights"):
        (tmp_path / "data" / name).mkdir(parents=True)
    return tmp_path


def test_a_long_stage_refuses_to_start_while_a_later_stages_section_or_input_is_wrong(project, monkeypatch):
    monkeypatch.chdir(project)
    check_params.main()  # as it is there is nothing to refuse
    text = (project / "params.yaml").read_text()
    for right, wrong in (("  csls_neighbours:", "  csls_neighbors:"), ("weights: data/weights", "weights: data/w")):
        text = text.replace(right, wrong)
    (project / "params.yaml").write_text(text)
    flags = [part for flag in ("text", "also", "taxonomy", "out", "metrics") for part in (f"--{flag}", "out")]
    ended = subprocess.run([sys.executable, "-m", "stages.prepare_corpus", *flags], capture_output=True, text=True,
                           env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert ended.returncode == 1 and "Traceback" not in ended.stderr and not (project / "out").exists()
    assert "unknown key `fit_closed_form.csls_neighbors`" in ended.stderr
    assert "data/w: no such file or folder (params.yaml: pretrain_cnn.weights)" in ended.stderr


@pytest.mark.parametrize(("right", "wrong", "said"), [
    ("arch: resnet20", "arch: resnet21", "`pretrain_cnn.arch` is 'resnet21'; expected: alexnet, resnet20 (any 6n + "),
    ("models: [devise, conse-10, hierse, exemplars]", "models: [devise, cones-10]",
     "`draw_figures.models` is ['devise', 'cones-10']; expected: some of softmax, random, devise, conse-<T>, hierse, "),
    ("    hops: [2, 3]", "    hopps: [2, 3]", "unknown key `build_label_sets.tree.hopps`; known here: directed, hops")])
def test_names_that_no_run_knows_are_refused_before_anything_runs(project, monkeypatch, right, wrong, said):
    monkeypatch.chdir(project)
    text = (project / "params.yaml").read_text()
    assert text.count(right) == 1
    (project / "params.yaml").write_text(text.replace(right, wrong))
    with pytest.raises(SystemExit) as ended:
        check_params.main()
    assert said in str(ended.value)


def test_what_was_found_well_is_not_checked_again_until_something_of_it_changes(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setattr(check_params, "PROJECT", project)  # where the code is
    checks = []
    monkeypatch.setattr(check_params, "check_params", lambda bodies: checks.append(1) or (
        yaml.safe_load((project / "params.yaml").read_text()), faults))
    (project / ".dvc").mkdir()
    faults = ["wrong"]
    for _ in range(2):
        with pytest.raises(SystemExit, match="wrong"):
            check_params.main()
    assert len(checks) == 2
    faults = []
    for changed in ("params.yaml", "dvc.yaml", "stages/evaluate.py", "zeroshot/devise/hinge.py"):
        (project / changed).write_text((project / changed).read_text() + "\n")
        checks.clear()
        check_params.main()
        check_params.main()
        assert len(checks) == 1
    (project / "data" / "weights").rmdir()  # what is there is looked at each time
    with pytest.raises(SystemExit, match="data/weights: no such file or folder"):
        check_params.main()
    assert len(checks) == 1


def test_in_a_copy_for_an_experiment_a_missing_input_comes_with_what_to_do(project, monkeypatch):
    copy = project / ".dvc" / "tmp" / "exps" / "tmpx"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns(".dvc"))
    params = copy / "params.yaml"
    params.write_text(params.read_text().replace("weights: data/weights", "weights: data/weights/mine"))
    monkeypatch.chdir(copy)
    with pytest.raises(SystemExit) as refused:
        check_params.main()
    assert refused.value.code == (
        f"data/weights/mine: no such file or folder (params.yaml: pretrain_cnn.weights); {HINT}")
    told = "data/images/train: no such folder"
    assert hint_for(told, ["data/images"]) == f"; {HINT}"
    assert hint_for(told, ["data/text"]) == hint_for(f"/disk/{told}", ["/disk/data/images"]) == ""
    monkeypatch.chdir(project)
    assert hint_for(told, ["data/images"]) == ""


def test_data_that_git_does_not_track_is_warned_of(project, monkeypatch):
    """A relative path is; an absolute one leads everywhere to the same place."""
    monkeypatch.chdir(project)
    subprocess.run(["git", "init", "--quiet"], check=True)
    (project / "data" / "images" / "mine").mkdir()
    (project / "data" / "images" / "mine" / "cat.png").touch()
    bodies = {"index_images": {"deps": ["${index_images.images}"], "outs": ["data/index"]},
              "embed_labels": {"deps": ["${embed_labels.vectors}"], "outs": []}}

    def warned(images, vectors="data/index/vectors"):
        return not_in_copies(bodies, {"index_images": {"images": images}, "embed_labels": {"vectors": vectors}})

    [warning] = warned("data/images/mine")
    assert warning.startswith("data/images/mine (params.yaml: index_images.images) is not tracked by git")
    assert not warned(str(project / "data" / "images" / "mine"))
    subprocess.run(["git", "add", "data"], check=True)
    assert not warned("data/images/mine")
