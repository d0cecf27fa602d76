"""Two runs of a little world, in a git repository with DVC's cache of their artifacts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from dvc.repo import Repo

from stages import evaluate
from tests.ranking_world import SETS, WNID
from tests.run_world import PIPELINE, commit_outs, git, make_run, rank
from tools import compare
from tools.changes import changed_params, changed_stages, stale
from tools.differences import HARMONIC, METRICS, Difference, class_changes, differences
from tools.runs import WORKSPACE, Run
from zeroshot.base.artifacts import Artifact, write_artifact, write_not_made
from zeroshot.console.errors import InputError
from zeroshot.labels.label_sets import write_label_sets


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """HEAD~1 was trained on seed 1, HEAD on seed 2, the workspace on seed 3; the lemmas are the same."""
    folder = tmp_path_factory.mktemp("project")
    git(folder, "init", "--quiet")
    Repo.init(str(folder)).close()
    (folder / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (folder / ".gitignore").write_text("/data\n")
    for seed in (1, 2, 3):
        (folder / "data").mkdir(exist_ok=True)
        make_run(folder, seed)
        if seed < 3:
            git(folder, "add", "-A")
            git(folder, "commit", "--quiet", "-m", f"seed {seed}")
    return folder


@pytest.fixture
def project(template, tmp_path, monkeypatch):
    folder = shutil.copytree(template, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(folder)
    return folder


def figures(before, after, **asked):
    return {(row.model, row.label_set, row.metric): row for row in differences(before, after, **asked)}


def test_the_figures_are_those_of_evaluate(project):
    found = figures(Run.at(WORKSPACE), Run.at(WORKSPACE), models=["devise"])
    evaluate.main(evaluate.Params(resamples=100, seed=0), model="devise", taxonomy=Path("data/taxonomy"),
                  rankings=Path("data/rankings/devise.safetensors"), label_sets=Path("data/label_sets"),
                  out=Path("metrics"), headline=Path("headline/devise.json"), scores=Path("scores.csv"),
                  classes=Path("classes.csv"))
    told = {path.stem: json.loads(path.read_text()) for path in Path("metrics").glob("*.json")}
    assert {name for _, name, _ in found} == set(told)
    for (_, name, metric), row in found.items():
        value = told[name]["gzsl_harmonic" if metric == HARMONIC else metric]
        assert row.before == pytest.approx(value) and row.after == pytest.approx(value)
        assert row.difference == 0 and (row.low, row.high) in {(0, 0), (None, None)} and not row.marked


def test_differences_are_paired_by_image_and_drawn_by_class(project):
    """Against the arrays of both rankings: three seen classes of four images."""
    before, after = Run.at("HEAD"), Run.at(WORKSPACE)
    row = figures(before, after)["devise", "seen", "hit@1"]
    ranked = [run.rankings("devise") for run in (before, after)]
    old, new = ((ranks["seen/rank"] == 1).astype(float) for ranks in ranked)
    assert (row.before, row.after) == (pytest.approx(old.mean()), pytest.approx(new.mean()))
    true = ranked[0]["seen/true"]
    by_class = np.array([(new - old)[true == label].mean() for label in np.unique(true)])
    error = max(by_class.std(ddof=1) / np.sqrt(3), (new - old).std() / np.sqrt(12))
    assert row.high - row.difference == pytest.approx(4.303 * error + 1 / 24, rel=0.05)  # Student's, two degrees
    assert row.high - row.difference == pytest.approx(row.difference - row.low)
    assert (row.images, row.classes, row.unpaired) == (12, 3, "")


def test_swapped_runs_have_negated_differences(project):
    before, after = Run.at("HEAD~1"), Run.at("HEAD")
    there, back = figures(before, after), figures(after, before)
    assert there.keys() == back.keys() and any(row.difference for row in there.values())
    for key, row in there.items():
        assert row.difference == pytest.approx(-back[key].difference)
        assert row.low is None or row.low == pytest.approx(-back[key].high)


def test_models_and_label_sets_can_be_picked(project):
    found = figures(Run.at("HEAD"), Run.at(), models=["conse-10"], label_sets=["unseen+seen"])
    assert set(found) == {("conse-10", "unseen+seen", metric) for metric in ("hit@1", "hit@5", "hp@5", HARMONIC)}


def test_the_most_populated_classes_are_a_set_like_others_where_both_runs_have_them(project):
    write_label_sets(Path("data/label_sets"), SETS | {"most-1": [WNID["pug"]]})
    rank(Path("data"))
    commit_outs(project)
    found = figures(Run.at(), Run.at(), models=["devise"])
    assert {name for _, name, _ in found} >= {"most-1", "most-1+seen", "2-hops"}
    assert found["devise", "most-1", "hit@1"].before == found["devise", "2-hops", "hit@1"].before  # the same class
    with pytest.raises(InputError, match="no label set `most-1` in both runs; expected some of seen, unseen, 2-hops"):
        differences(Run.at("HEAD"), Run.at(), label_sets=["most-1"])


def test_a_model_that_was_not_made_and_a_run_that_measured_nothing_are_told(project):
    write_not_made(Path("data/rankings/devise.safetensors"), "no training images")
    commit_outs(project)
    told = compare.as_markdown(compare.compare(Run.at("HEAD"), Run.at(), ["conse-10"], None))
    assert "workspace: data/rankings/devise.safetensors was not made: no training images" in told
    assert "ConSE(10)" in told and "DeViSE" not in told
    conse = Artifact(Path("data/rankings/conse/conse-10.safetensors"))
    write_artifact(conse.path, conse.meta, {})
    commit_outs(project)
    for before in (Run.at("HEAD"), Run.at()):
        told = compare.as_markdown(compare.compare(before, Run.at(), ["conse-10"], None))
        assert "workspace measured nothing: no test images" in told and "| model" not in told
    assert "HEAD measured nothing" not in told


def test_runs_whose_seen_classes_have_no_test_images_have_no_harmonic_mean(project):
    """As of a preset without validation images; the other figures are there."""
    for model in ("devise", "conse/conse-10"):
        ranked = Artifact(Path(f"data/rankings/{model}.safetensors"))
        arrays = {name: ranked[name] for name in ranked.names() if not name.startswith("seen/")
                  and not name.endswith("/val_rank")}
        write_artifact(ranked.path, ranked.meta, arrays)
    commit_outs(project)
    for before in (Run.at(), Run.at("HEAD")):
        found = figures(before, Run.at(), models=["devise"], label_sets=["seen", "unseen", "unseen+seen"])
        assert set(found) == {("devise", name, metric) for name in ("unseen", "unseen+seen") for metric in METRICS}
    compare.main([])


def test_what_changed_is_told(project):
    before, after = Run.at("HEAD"), Run.at()
    assert [tuple(change) for change in changed_params(before, after)] == [("train_devise.seed", 2, 3)]
    assert {tuple(change) for change in changed_stages(before, after)} == {
        ("train_devise", "outs changed", ("params",)), ("rank_devise@devise", "outs changed", ("data",)),
        ("rank_conse", "outs changed", ())}
    assert stale(before) == stale(after) == []


def test_a_stage_that_ran_to_the_same_result_and_one_that_is_gone(project):
    lock = yaml.safe_load((project / "dvc.lock").read_text())
    lock["stages"]["rank_devise@devise"]["cmd"] = "rank otherwise"
    lock["stages"]["new"] = lock["stages"].pop("rank_conse")
    after = Run.at()
    (project / "dvc.lock").write_text(yaml.safe_dump(lock))
    changes = {change.stage: change for change in changed_stages(after, Run.at())}
    assert changes["rank_devise@devise"][1:] == ("ran, same outs", ("command",))
    assert changes["new"].what == "new" and changes["rank_conse"].what == "gone" and len(changes) == 3


def test_classes_by_what_they_gained(project):
    before, after = Run.at("HEAD"), Run.at()
    changes = class_changes(before, after, "devise", "seen")
    ranked = [run.rankings("devise") for run in (before, after)]
    assert {change.name for change in changes} == {"cat", "husky", "car"}
    for change in changes:
        true = ranked[0]["seen/true"] == ranked[0].wnids.index(change.wnid)
        assert change.wnid == WNID[change.name] and change.images == true.sum() == 4
        assert [change.before, change.after] == [((one["seen/rank"] == 1) & true).sum() for one in ranked]
    gains = [change.after - change.before for change in changes]
    assert gains == sorted(gains, reverse=True)


def test_other_images_are_not_paired(project):
    make_run(project, 3, images=15)
    before, after = Run.at("HEAD"), Run.at()
    found = figures(before, after)
    assert {row.unpaired for row in found.values()} == {"test images differ"}
    row = found["devise", "unseen", "hit@1"]
    old, new = (run.rankings("devise")["unseen/rank"] == 1 for run in (before, after))
    assert row.before == pytest.approx(old.mean()) and row.after == pytest.approx(new.mean())
    assert class_changes(before, after, "devise", "unseen") == []
    assert "† not paired" in compare.as_markdown(compare.compare(before, after, None, None))


def test_the_same_files_in_another_index_are_paired(project):
    make_run(project, 3, repack=True)
    before, after = Run.at("HEAD"), Run.at()
    assert before.images_of("devise") != after.images_of("devise")
    assert {row.unpaired for row in differences(before, after)} == {""}


def test_another_label_set_is_not_paired_and_the_others_are(project):
    write_label_sets(project / "data" / "label_sets", {**SETS, "2-hops": SETS["unseen"]})
    rank(project / "data")
    commit_outs(project)
    found = figures(Run.at("HEAD"), Run.at(), models=["devise"])
    assert {name: row.unpaired for (_, name, metric), row in found.items() if metric == "hit@1"} == {
        "seen": "", "unseen": "", "unseen+seen": "", "21k": "", "21k+seen": "",
        "2-hops": "label sets differ", "2-hops+seen": "label sets differ"}


@pytest.mark.parametrize("asked", [[], ["HEAD~1", "HEAD"], ["HEAD~1", "--all"]])
def test_the_report_fits_a_terminal(project, capsys, asked):
    compare.main(asked)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 160 and len(lines) < 50
    assert any(line.startswith("Params that differ: `train_devise.seed`") for line in lines)
    assert any(line.startswith("| DeViSE") for line in lines)


def test_the_widest_rows_fit_too():
    rows = [Difference("exemplars", "2-hops+seen", metric, 1, 0, -1.1, -0.9, 9, 2, "test images differ")
            for metric in (*METRICS, HARMONIC)]
    lines = compare.figures_table(rows).splitlines()
    assert max(map(len, lines)) <= 160 and lines[2].count("*") == 4
    assert "100.0   0.0 -100.0 ±10.0 *" in lines[2] and "1.000 0.000 -1.000 ±0.100 *" in lines[2]


def test_json_holds_what_the_functions_give(project, capsys):
    compare.main(["HEAD", "--json", "--model", "devise"])
    told = json.loads(capsys.readouterr().out)
    rows = figures(Run.at("HEAD"), Run.at(), models=["devise"])
    assert len(told["figures"]) == len(rows)
    for figure in told["figures"]:
        row = rows[figure["model"], figure["label_set"], figure["metric"]]
        assert (figure["difference"], figure["low"], figure["excludes_0"]) == (row.difference, row.low, row.marked)
    assert told["params"] == [{"key": "train_devise.seed", "before": 2, "after": 3}]
    assert told["before"]["rev"] == "HEAD" and len(told["before"]["commit"]) == 40 and told["after"]["commit"] is None


def test_a_run_against_itself(project, capsys):
    compare.main(["HEAD", "HEAD"])
    told = capsys.readouterr().out
    assert "Stages that ran anew: none" in told and "Params that differ: none" in told and "0.0 ± 0.0" in told


def test_an_experiment_goes_by_its_name(project):
    commit = Run.at("HEAD~1").commit
    git(project, "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/calm-lynx", commit)
    assert Run.at("calm-lynx").commit == commit


def empty_cache(project, run, path):
    md5 = run.outs[path]
    (project / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).unlink()
    return md5


def test_rankings_out_of_reach_are_told_and_the_others_compared(project):
    md5 = empty_cache(project, Run.at("HEAD"), "data/rankings/devise.safetensors")
    before, after = Run.at("HEAD"), Run.at()
    commit = before.commit[:7]
    compared = compare.compare(before, after, None, None)
    assert {row.model for row in compared.figures} == {"conse-10"}
    note = (f"HEAD: data/rankings/devise.safetensors (md5 {md5}) is not in DVC's cache, and no default remote is "
            f"configured; `git worktree add --detach ../{commit} {commit} && cd ../{commit} && dvc cache dir --local "
            f"{project / '.dvc' / 'cache'} && dvc repro` makes it anew")
    assert note in compared.notes and not [told for told in compared.notes if told.startswith("only ")]
    with pytest.raises(InputError, match=md5):
        differences(before, after, ["devise"])
    empty_cache(project, after, "data/rankings/conse")
    notes = compare.compare(Run.at("HEAD~1"), Run.at(), None, None).notes
    assert any("workspace: data/rankings/conse (md5" in told for told in notes)
    assert not [told for told in notes if told.startswith("only ")]  # conse-10 may well be in that folder
    empty_cache(project, before, "data/rankings/conse")
    with pytest.raises(InputError, match="HEAD: data/rankings/"):
        differences(Run.at("HEAD"), after)


def test_what_the_cache_lacks_comes_from_the_remote(project, tmp_path):
    Path(".dvc/config").write_text(f"""[core]\nremote = store\n['remote "store"']\nurl = {tmp_path / "store"}\n""")
    expected = figures(Run.at("HEAD~1"), Run.at("HEAD"))
    shutil.move(project / ".dvc" / "cache" / "files", tmp_path / "store" / "files")
    assert figures(Run.at("HEAD~1"), Run.at("HEAD")) == expected
    shutil.rmtree(project / ".dvc" / "cache" / "files")
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(InputError, match="remote `store`"):
        differences(Run.at("HEAD~1"), Run.at("HEAD"))


def test_a_stale_workspace_says_so(project):
    (project / "params.yaml").write_text(yaml.safe_dump({"train_devise": {"seed": 4, "margin": 0.1}}))
    assert stale(Run.at()) == ["train_devise (train_devise)"]
    lock = yaml.safe_load((project / "dvc.lock").read_text())
    lock["stages"]["index_images"]["outs"][0]["md5"] = "0" * 32 + ".dir"
    (project / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert "rank_conse (data/index)" in stale(Run.at())


@pytest.mark.parametrize("arguments, message", [
    (["nowhere"], "nowhere: no revision that git knows, nor an experiment's name"),
    (["HEAD", "HEAD~1", "HEAD"], "3 revisions"),
    (["HEAD:dvc.yaml"], "HEAD:dvc.yaml: no revision that git knows"), (["HEAD^{tree}"], "no revision that git knows"),
    (["HEAD", ""], "a revision is empty, as of a variable that is not set"),
    (["--model", "devise", "--model", "devize"], "no model `devize`; it has conse-10, devise"),
    (["--model", "devise,devize"], "no model `devize`; it has conse-10, devise"),
    (["--model", "devise", "--label-set", "3-hops"], "devise: not tested on 3-hops in both runs"),
    *((asked, "a list of models or label sets is empty, as of a variable that is not set; expected names, or no such")
      for asked in (["--model", ""], ["--model", "devise", "--model", ","], ["--label-set", " "])),
    (["--label-set", "4-hops"], "no label set `4-hops` in both runs; expected some of seen, unseen")])
def test_bad_requests_are_refused_in_a_line(project, arguments, message):
    with pytest.raises(InputError, match=message) as refusal:
        compare.main(arguments)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name, text, said", [
    ("dvc.lock", "hello", "dvc.lock holds no `key: value`"), ("dvc.lock", "stages: [1]", "dvc.lock is none of DVC's"),
    ("dvc.lock", "stages: {a: null}", "dvc.lock is none of DVC's"), ("params.yaml", "[1]", "params.yaml holds no `key"),
    *(("dvc.lock", f"stages: {{a: {{{key}: {entries}}}}}", f"dvc.lock is none of DVC's: stage `a`: `{key}` is no list")
      for key in ("outs", "deps") for entries in ("[5]", "[{md5: x}]", "[{path: a, md5: 5}]", "[{path: a, md5: x}]",
                                                  "{path: a}")),
    ("dvc.lock", "stages: {a: {params: [1]}}", "dvc.lock is none of DVC's: stage `a`: `params` is no mapping"),
    ("dvc.lock", "stages: {a: {params: {params.yaml: 1}}}", "dvc.lock is none of DVC's: stage `a`: `params` is no"),
    ("dvc.lock", "<<<<<<< HEAD\na: 1\n", "dvc.lock is not valid YAML")])
def test_files_that_are_not_dvcs_are_refused_in_a_line(project, name, text, said):
    Path(name).write_text(text)
    with pytest.raises(InputError, match=f"workspace: {said}") as refusal:
        Run.at()
    assert "\n" not in str(refusal.value)


def test_options_that_stand_twice_count_twice(project, capsys):
    asked = [["--model", "devise", "--model", "conse-10"], ["--label-set", "seen", "--label-set", "unseen"]]
    compare.main(["HEAD", "HEAD", *asked[0], *asked[1], "--json"])
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert {(row["model"], row["label_set"]) for row in figures} == {
        (model, name) for model in ("devise", "conse-10") for name in ("seen", "unseen")}


def test_places_without_a_run_are_refused_in_a_line(project, tmp_path, monkeypatch):
    Path("dvc.lock").unlink()
    with pytest.raises(InputError, match="workspace: has no dvc.lock.*`dvc repro`"):
        Run.at()
    git(project, "rm", "--quiet", "--cached", "dvc.lock")
    git(project, "commit", "--quiet", "-m", "no run")
    with pytest.raises(InputError, match="HEAD: has no dvc.lock.*`git log --oneline -- dvc.lock` shows them"):
        Run.at("HEAD")
    shutil.rmtree(project / ".git")
    (project / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    with pytest.raises(InputError, match="no git repository, so it has no revision `HEAD`"):
        Run.at("HEAD")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="not in a DVC repository"):
        Run.at()
