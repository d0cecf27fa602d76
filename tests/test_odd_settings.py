"""params.yaml as editors and haste leave it: what nobody would read is refused, in a line."""

import shutil

import pytest

from tools.check_params import check_params, missing_inputs
from tools.stage_deps import stage_bodies, with_deps
from zeroshot.base.params import read_yaml
from zeroshot.console.errors import InputError
from zeroshot.running.scratch import PROJECT

DEMO = (PROJECT / "presets" / "demo.yaml").read_text()


@pytest.fixture
def faults(tmp_path, monkeypatch):
    bodies = stage_bodies(read_yaml(PROJECT / "dvc.yaml"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(PROJECT / "presets", "presets")
    for name in ("images", "weights"):
        (tmp_path / "data" / name).mkdir(parents=True)

    def faults(text: str | bytes) -> list[str]:
        (tmp_path / "params.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        params, found = check_params(bodies)
        return found + missing_inputs(bodies, params)
    return faults


def changed(line: str, other: str) -> str:
    assert line in DEMO
    return DEMO.replace(line, other, 1)


def test_what_editors_and_yaml_may_do_is_read(faults):
    for text in (DEMO, f"\ufeff{DEMO}", DEMO.replace("\n", "\r\n"), f"{DEMO}...\n", f"x-mine: &m {{a: 1}}\n{DEMO}",
                 changed("rank_devise:\n  threads: 2", "rank_devise:\n  <<: {threads: 2}")):
        assert faults(text) == []


@pytest.mark.parametrize(("text", "fault"), [
    ("", "holds no sections"), ("# all gone\n", "holds no sections"), ("- a\n", "holds no sections"),
    (DEMO.encode() + b"# caf\xe9\n", "not valid YAML"), (changed("  margin: 0.1", "\tmargin: 0.1"), "not valid YAML"),
    (f"{DEMO}train_devise:\n  margin: 0.2\n", 'not valid.*duplicate key "train_devise".*column 1$')])
def test_a_file_that_cannot_be_read_is_one_fault_not_one_a_section(faults, text, fault):
    with pytest.raises(InputError, match=f"params.yaml: {fault}"):
        raise InputError("\n".join(faults(text)))
    assert len(faults(text)) == 1


@pytest.mark.parametrize(("more", "nearest"), [
    ("train_devis:\n  margin: 0.2\n", "train_devise"), ("epochs: 3\n", "none"), ("7: 3\n", "none")])
def test_what_no_stage_reads_is_said(faults, more, nearest):
    name = more.partition(":")[0]
    assert faults(DEMO + more) == [f"params.yaml: section '{name}' is no stage's, so nothing reads it; nearest: "
                                   f"{nearest} (names that begin with x- are yours, for anchors)"]


@pytest.mark.parametrize(("line", "other", "fault"), [
    ("mean: [0.485, 0.456, 0.406]", "mean: [123.7, 116.8, 103.9]", "`pretrain_cnn.mean.0` is 123.7; .* equal to 1"),
    ("deviation: [0.229, 0.224, 0.225]", "deviation: [58.4, 57.1, 57.4]", "`pretrain_cnn.deviation.0` is 58.4; .*to 1"),
    ("label_set: 21k  #", "label_set: 2-hop  #", "`explain_failures.label_set` is '2-hop'; .*: one of .*3-hops, 21k"),
    ("images: data/images ", "images: '' ", "`index_images.images` is ''; expected the path of a file or folder"),
    ("images: data/images ", "images: ' ' ", "`index_images.images` is ' '; expected the path of a file or folder")])
def test_settings_that_no_run_can_mean_are_refused_before_the_first_stage(faults, line, other, fault):
    found = faults(changed(line, other))
    with pytest.raises(InputError, match=f"^params.yaml: {fault}"):
        raise InputError("\n".join(found))
    assert faults(changed("label_set: 21k  #", "label_set: least-500  #")) == []


def test_a_params_yaml_that_is_no_file_is_one_line(tmp_path):
    (tmp_path / "params.yaml").mkdir()
    (tmp_path / "p.yaml").symlink_to("p.yaml")
    for name, why in (("params.yaml", "no text file but a folder"), ("p.yaml", "Too many levels of symbolic links")):
        with pytest.raises(InputError, match=f"{name}: cannot be read .{why}"):
            read_yaml(tmp_path / name)


OWN = """
  theirs:
    cmd: ["python theirs.py --rate ${theirs.rate}", python -m json.tool theirs.json]
    params: [theirs_too.sizes]
    outs: [theirs.json]
"""


def test_stages_that_a_user_added_have_sections_too_and_are_left_alone(faults, tmp_path):
    text = (PROJECT / "dvc.yaml").read_text()
    own = text.replace("\nstages:\n", f"\nstages:{OWN}", 1)
    assert own != text and with_deps(own) == own
    (tmp_path / "dvc.yaml").write_text(own)
    (tmp_path / "params.yaml").write_text(f"{DEMO}theirs: {{rate: 1}}\ntheirs_too: {{sizes: []}}\nnobodys: 1\n")
    bodies = stage_bodies(read_yaml(tmp_path / "dvc.yaml"))
    params, found = check_params(bodies)
    assert [fault.partition(";")[0] for fault in found + missing_inputs(bodies, params)] == [
        "params.yaml: section 'nobodys' is no stage's, so nothing reads it"]
