"""Ablations' tables: by hand, over seeds, and of a little world's runs."""

import contextlib
import csv
import io
import re

import numpy as np
import pytest
import yaml
from dvc.repo import Repo

from tests.run_world import PIPELINE, git, make_run
from tools import ablation_settings, ablation_table
from tools.ablation_table import Cell
from tools.differences import differences
from tools.experiments import main as show_experiments
from tools.runs import Run
from zeroshot.console.errors import InputError


def made_up_rows():
    first = ablation_table.Row("none", "", {None: "a" * 40}, 61.0, cells={"devise": {
        ("unseen", "hit@1"): Cell(0.151), ("unseen", "hp@5"): Cell(0.3571)}})
    better = ablation_table.Row("a|b", "a.b=1", {None: "b" * 40}, 5.0, cells={"devise": {
        ("unseen", "hit@1"): Cell(0.171, 0.02, 0.0099), ("unseen", "hp@5"): Cell(0.3471, -0.01, 0.0099)}})
    noise = ablation_table.Row("c", "", {None: "c" * 40}, cells={"devise": {
        ("unseen", "hit@1"): Cell(0.1509, -0.0001, 0.01), ("unseen", "hp@5"): Cell(0.3571, 0.0, None)}})
    same = ablation_table.Row("d", "", {None: "d" * 40}, same=["devise"])
    return [first, better, noise, same, ablation_table.Row("e", "", {}, failed="no memory"),
            ablation_table.Row("f", "f=1", {}), ablation_table.Row("g", "", {})]


def test_the_table_by_hand():
    text = ablation_table.as_markdown(made_up_rows(), [("unseen", "hit@1"), ("unseen", "hp@5")])
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:1] == "|"]
    assert lines[0] == ["row", "model", "unseen hit@1", "unseen hp@5", "time"]
    assert lines[2:] == [["none", "DeViSE", "15.1", "0.357", "1:01"],
                         ["a\\|b", "DeViSE", "17.1 +2.0 ±1.0 *", "0.347 -0.010 ±0.010 *", "0:05"],
                         ["c", "DeViSE", "15.1 0.0 ±1.0", "0.357 0.000 ±–", ""],
                         ["d", "as the first row", "–", "–", ""], ["e", "failed", "–", "–", ""]]
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        "- **a|b** (`a.b=1`): better: DeViSE unseen hit@1 +2.0 ±1.0; worse: DeViSE unseen hp@5 -0.010 ±0.010",
        "- **c**: no difference that its interval tells from 0 (1 figures)",
        "- **d**: nothing changed: every answer is the first row's", "- **e**: failed: no memory"]
    assert "what another seed would shift" in text and text.endswith("\n\nNot run: f; g.\n")


def test_a_row_without_figures_says_whether_it_was_as_the_first_or_not_measured():
    """The first row too, which nothing can be the same as."""
    rows = [ablation_table.Row("one", "", {None: "a" * 40}), ablation_table.Row("same", "", {None: "b" * 40},
                                                                                same=["devise"]),
            ablation_table.Row("other", "", {None: "c" * 40})]
    text = ablation_table.as_markdown(rows, [("unseen", "hit@1")])
    assert [line.split(" | ")[1].strip() for line in text.splitlines() if line.startswith("| ")][1:] == [
        "not measured", "as the first row", "not measured"]


def test_the_csv_has_full_digits_and_the_intervals_ends():
    rows = list(csv.DictReader(io.StringIO(ablation_table.as_csv(made_up_rows(), [("unseen", "hit@1")]))))
    assert [(row["row"], row["value"], row["low"], row["excludes_0"]) for row in rows] == [
        ("none", "0.151", "", ""), ("a|b", "0.171", "0.0101", "True"), ("c", "0.1509", "-0.0101", "False")]


def test_over_seeds_by_hand():
    """Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), Student's t at two degrees of freedom 4.3027."""
    mean, half = ablation_table.over_seeds([1, 2, 3], [3, 4, 5])
    assert mean == 2 and half == pytest.approx(np.hypot(4, 4.3027 / np.sqrt(3)), rel=1e-4)
    assert ablation_table.over_seeds([0.5], [0.1]) == (0.5, 0.1)
    assert ablation_table.over_seeds([0.5, 0.7], [0.1, None]) == (0.6, None)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("drawn, tested", [(1, 1), (1, 0.1), (0.1, 1)])
def test_a_difference_of_0_is_marked_at_most_one_time_in_twenty_over_seeds(seeds, drawn, tested):
    """Each seed shifts the difference by `drawn`, the test shifts all alike by `tested`; 1.96 covers the second."""
    rng = np.random.default_rng(0)
    shifts = rng.normal(0, drawn, (5000, seeds)) + rng.normal(0, tested, (5000, 1))
    estimates = [ablation_table.over_seeds(row, [1.96 * tested] * seeds) for row in shifts]
    assert np.mean([abs(mean) > half for mean, half in estimates]) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 5000)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A little world's repository: a commit's run, and two runs from it as if they were experiments."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (folder / ".gitignore").write_text("/data\n")
    git(folder, "init", "--quiet")
    with contextlib.chdir(folder):
        Repo.init().close()
    make_run(folder, seed=1)
    add_metrics(folder, 0.5)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    head = ablation_settings.git(folder, "rev-parse", "HEAD").strip()
    for seed in (2, 3):
        make_run(folder, seed)
        add_metrics(folder, seed / 10)
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", "an experiment")
        git(folder, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/seed-{seed}", "HEAD")
        git(folder, "reset", "--quiet", "--hard", head)
    return folder


def add_metrics(folder, hit):
    (folder / "metrics" / "devise").mkdir(parents=True, exist_ok=True)
    (folder / "metrics" / "devise" / "unseen.json").write_text(f'{{"hit@1": {hit}}}')


def test_intervals_are_those_of_compare_and_figures_those_of_the_commits(world):
    commits = [ablation_settings.git(world, "rev-parse", rev).strip() for rev in ("HEAD", *seeds_of(world))]
    rows = [ablation_table.Row("one", "", {1: commits[0], 2: commits[0]}),
            ablation_table.Row("other", "", {1: commits[1], 2: commits[2]}),
            ablation_table.Row("again", "", {1: commits[0], 2: commits[0]})]
    ablation_table.fill(rows, ["devise", "conse-10"], [("unseen", "hit@1")], world)
    cell = rows[1].cells["devise"]["unseen", "hit@1"]
    pairs = [differences(Run.at(commits[0], world), Run.at(commit, world), ["devise"], ["unseen"])[0]
             for commit in commits[1:]]
    halves = [(pair.high - pair.low) / 2 for pair in pairs]
    assert cell.value == pytest.approx(0.25) and cell.difference == pytest.approx(-0.25)
    assert cell.half == pytest.approx(ablation_table.over_seeds([-0.3, -0.2], halves)[1]) and min(halves) > 0
    assert rows[2].same == ["devise", "conse-10"] and rows[2].cells == {}
    assert rows[1].same == [] and "conse-10" not in rows[1].cells  # it has no metrics here


def test_a_model_that_a_row_lacks_does_not_pass_for_one_that_did_as_in_the_first(world):
    commits = [ablation_settings.git(world, "rev-parse", rev).strip() for rev in ("HEAD", *seeds_of(world))]
    (world / "metrics" / "conse-5").mkdir()
    (world / "metrics" / "conse-5" / "unseen.json").write_text('{"hit@1": 0.5}')
    git(world, "add", ".")
    git(world, "commit", "--quiet", "-m", "T is 5")
    rows = [ablation_table.Row(label, "", {None: commit}) for label, commit in zip(
        ("one", "two", "T is 5"), (*commits[:2], ablation_settings.git(world, "rev-parse", "HEAD").strip()),
        strict=True)]
    git(world, "reset", "--quiet", "--hard", commits[0])
    ablation_table.fill(rows, ["devise", "conse-5", "hierse"], [("unseen", "hit@1")], world)
    assert [row.notes for row in rows] == [["`one` has no ConSE(5)"], ["`two` has no ConSE(5)"], []]
    assert "- `one` has no ConSE(5)\n" in ablation_table.as_markdown(rows, [("unseen", "hit@1")])


def test_a_label_set_that_some_runs_lack_is_a_dash_and_the_others_have_their_intervals(world):
    commits = [ablation_settings.git(world, "rev-parse", rev).strip() for rev in ("HEAD", *seeds_of(world))]
    columns = [("most-500", "hit@1"), ("unseen", "hit@1")]
    rows = [ablation_table.Row(label, "", {None: commit}) for label, commit in zip("ab", commits, strict=False)]
    ablation_table.fill(rows, ["devise"], columns, world)
    cell = rows[1].cells["devise"]["unseen", "hit@1"]
    assert list(rows[1].cells["devise"]) == [columns[1]] and cell.half > 0 and rows[1].notes == []
    lines = ablation_table.as_markdown(rows, columns).splitlines()
    assert [line.split(" | ")[2].strip() for line in lines if line.startswith("| ")][1:] == ["–", "–"]


def test_what_is_out_of_reach_costs_the_intervals_and_not_the_table(world, monkeypatch):
    def unreachable(*_):
        raise InputError("data/label_sets is not in DVC's cache")

    monkeypatch.setattr(ablation_table, "differences", unreachable)
    commits = [ablation_settings.git(world, "rev-parse", rev).strip() for rev in ("HEAD", *seeds_of(world))]
    rows = [ablation_table.Row(label, "", {None: commit}) for label, commit in zip("ab", commits, strict=False)]
    ablation_table.fill(rows, ["devise"], [("unseen", "hit@1")], world)
    cell = rows[1].cells["devise"]["unseen", "hit@1"]
    assert (cell.value, cell.half) == (0.2, None) and cell.difference == pytest.approx(-0.3)
    assert rows[1].notes == ["`b` has no intervals: data/label_sets is not in DVC's cache"]


def seeds_of(world):
    return ablation_settings.git(world, "for-each-ref", "--format=%(refname)", "refs/exps").split()


def test_make_experiments_shows_all_of_a_commit_and_where_others_are(world):
    text = show_experiments("HEAD", world)
    assert "| seed-2 | DeViSE | – " in re.sub(" +", " ", text) and "20.0 -30.0 ±" in text
    assert "\n- **seed-3** (`train_devise.seed=3`): " in text
    git(world, "commit", "--quiet", "--allow-empty", "-m", "later")
    with pytest.raises(InputError, match=r"no experiment began at HEAD \(\w{7}\); from other commits \(`make exp"):
        show_experiments("HEAD", world)
    assert show_experiments("HEAD~", world) == text
    with pytest.raises(InputError, match="REV is `needle`, no commit that git knows"):
        show_experiments("needle", world)
