"""A publication's tables beside an ablation's figures."""

import csv
import io

import pytest

from tests.run_world import PIPELINE, git, make_run
from tools import published_tables
from tools.ablation_list import ablation_names, read_ablation
from tools.published_tables import COLUMNS, read_published, write_published
from tools.stage_deps import PROJECT
from zeroshot.console.errors import InputError
from zeroshot.evaluation.classes import wilson_interval

HEAD = ",".join(COLUMNS) + "\n"
ROWS = ["one", "two"]
TEXT = HEAD + ("1,First,Softmax,67.5,one,softmax,seen,hit@1,\n1,First,DeViSE,,two,devise,seen,hit@1,\n"
               "2,Second,cat,17.53,one,devise,unseen,hit@1,n02121620\n")
FIGURES = {("c1", "softmax", "seen", "hit@1"): 0.7, ("c1", "softmax", "seen", "hit@1_low"): 0.65,
           ("c1", "softmax", "seen", "hit@1_high"): 0.755, ("c2", "devise", "seen", "hit@1"): 0.4,
           ("c3", "devise", "seen", "hit@1"): 0.5}


def test_published_and_ours_stand_side_by_side(tmp_path, monkeypatch):
    """One seed has its interval; of two it is the mean; what has not run is a dash."""
    (tmp_path / "p.csv").write_text(TEXT)
    monkeypatch.setattr(published_tables, "_of_class", lambda *_: None)
    lines, commits = read_published(tmp_path / "p.csv", ROWS), {"one": ["c1"], "two": ["c2", "c3"]}
    path = write_published(tmp_path, "# T", lines, commits, lambda *asked: FIGURES.get(asked), tmp_path)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in path.read_text().splitlines()
            if line.startswith("| ")]
    assert rows[1] == ["Softmax", "67.5", "70.0 (65.0 to 75.5)", "one, Softmax baseline, seen hit@1"]
    assert rows[2] == ["DeViSE", "–", "45.0", "two, DeViSE, seen hit@1"] and rows[4] == [
        "cat", "17.53", "–", "one, DeViSE, unseen hit@1 of n02121620"]
    text = path.read_text()
    assert text.startswith("# T\n\nPer cent;") and "## Table 1. First" in text and "## Table 2. Second" in text
    kept = list(csv.DictReader(io.StringIO((tmp_path / "tables.csv").read_text())))
    assert [(line["published"], line["ours"], line["low"]) for line in kept] == [
        ("67.5", "70.0", "65.0"), ("", "45.0", ""), ("17.53", "", "")]


def test_a_class_has_its_own_hits_from_the_runs_rankings(tmp_path, monkeypatch, capsys):
    import yaml

    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    root = tmp_path / "world"
    root.mkdir()
    (root / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    git(root, "init", "--quiet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        from dvc.repo import Repo
        Repo.init().close()
    make_run(root, seed=3)
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "run")
    run = published_tables.Run.at("HEAD", root)
    ranked = run.rankings("devise")
    true, rank = ranked["unseen/true"], ranked["unseen/rank"]
    for label in set(true.tolist()):
        own = rank[true == label]
        line = published_tables.Line("5", "", "", None, "one", "devise", "unseen", "hit@1", ranked.wnids[label])
        hits = int((own == 1).sum())
        assert published_tables._of_class("HEAD", line, root) == (hits / len(own), *wilson_interval(hits, len(own)))
    absent = published_tables.Line("5", "", "unicorn", None, "one", "devise", "unseen", "hit@1", "n99999999")
    assert published_tables._of_class("HEAD", absent, root) is None
    assert capsys.readouterr().out == "table 5, unicorn: n99999999 is no label of the run of row `one`\n"
    assert published_tables._of_class("no revision", absent, root) is None


@pytest.mark.parametrize(("text", "said"), [
    (TEXT.replace("67.5", "much"), r"line 2: `published` is much; expected a number"),
    (TEXT.replace(",two,", ",tow,"), r"line 3: the ablation has no row `tow`; it has `one`, `two`"),
    *((TEXT.replace("67.5", number), f"line 2: `published` is {number}; expected a num") for number in ("inf", "nan")),
    (TEXT.replace("softmax", "sofmax"), r"line 2: unknown model `sofmax`; did you mean `softmax`\?"),
    (TEXT.replace(",,two,devise,seen", ",,two,devise,sen"), r"line 3: unknown figure `sen hit@1`; did you mean `see"),
    (TEXT.replace("one,softmax,seen,hit@1", "one,softmax,seen,hit@11"), r"line 2: unknown figure `seen hit@11`; did"),
    (TEXT.replace("n02121620", "cat"), r"line 4: `wnid` is cat; expected n and eight digits, or nothing"),
    (TEXT.replace("unseen,hit@1,n", "unseen,hit@5,n"), r"line 4: `metric` is hit@5; expected hit@1, which is what"),
    (TEXT.replace(",devise,seen", ",seen"), r"line 3 has not 9 columns"), ("a,b\n", r"columns a, b; expected table"),
    ("", r"columns none"), (None, r"cannot be read")])
def test_a_file_that_is_not_such_is_refused(tmp_path, text, said):
    if text is not None:
        (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_published(tmp_path / "p.csv", ROWS)


@pytest.mark.parametrize("figure", ["2-hops+seen,harmonic_mean", "least-7+seen,macro_hit@20", "seen,hp@10"])
def test_figures_that_evaluate_has_and_ablations_do_not_ask_for_are_taken(tmp_path, figure):
    (tmp_path / "p.csv").write_text(HEAD + f"1,First,DeViSE,,two,devise,{figure},\n")
    (line,) = read_published(tmp_path / "p.csv", ROWS)
    assert f"{line.label_set},{line.metric}" == figure


@pytest.mark.parametrize("name", ablation_names(PROJECT))
def test_a_list_that_ships_has_the_rows_that_its_publication_names(name):
    listed = read_ablation(name, PROJECT)
    if listed.published:
        assert read_published(PROJECT / listed.published, [row.label for row in listed.rows])


def test_the_reports_figures_are_those_that_it_prints():
    lines = read_published(PROJECT / "presets/papers/cifar100_tables.csv",
                           [row.label for row in read_ablation("cifar100", PROJECT).rows])
    printed = {table: [line.published for line in lines if line.table == table and line.published is not None]
               for table in "12345"}
    assert printed == {"1": [67.5, 43.7], "2": [32.1, 53.4, 67.5], "3": [43.7, 44.5], "4": [43.7, 64, 32],
                       "5": [17.53, 14.67]}
