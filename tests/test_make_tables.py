import pandas as pd
import pytest

from stages import make_tables
from stages.evaluate import _write_scores
from zeroshot.console.errors import InputError
from zeroshot.evaluation.classes import COLUMNS as CLASS_COLUMNS
from zeroshot.evaluation.metrics import KS
from zeroshot.taxonomy import make_taxonomy, write_taxonomy

PUBLISHED = "presets/papers/conse_tables.csv"
NOUNS = make_taxonomy({"n00000001": (["zebra"], [], [], ""), "n00000002": (["Ant"], [], [], "")})
CLASSES = {"devise": ["unseen,n00000001,1,20,0.25,0,0,1", "unseen,n00000002,0,80,0.5,0,0,1"],
           "conse-10": ["unseen,n00000001,1,20,0.0,0,0,1", "unseen,n00000002,0,80,1.0,0,0,1"]}


def figures(size, hit=0.1, also_train=0):
    return {**{f"hit@{k}": hit + k / 100 for k in KS}, **{f"hp@{k}": hit / 2 for k in KS}, "images": 50,
            "candidates": size - 1, "labels": size, "val_images_also_train": also_train}


def run(folder, sets, models=("devise", "conse-10", "conse-7", "softmax", "ridge"), t="[1, 10]", also_train=0, hit=0.1):
    for model in models:
        table = {name: figures(size, hit, also_train=also_train) for name, size in sets.items()}
        if "unseen+seen" in table:
            table["unseen+seen"]["gzsl_harmonic"] = 0.256
        _write_scores(folder / "scores" / f"{model}.csv", model, table)
        (folder / "classes").mkdir(exist_ok=True)
        rows = [",".join(CLASS_COLUMNS), *CLASSES.get(model, [])]
        (folder / "classes" / f"{model}.csv").write_text("\n".join(rows))
    write_taxonomy(folder / "taxonomy", NOUNS)
    (folder / "params.yaml").write_text(f"rank_conse: {{t: {t}, threads: 2}}\n")
    with pytest.MonkeyPatch.context() as patch:
        published = make_tables.Path(PUBLISHED).resolve()
        patch.chdir(folder)
        make_tables.main(make_tables.Params(same_size=0.03), scores=folder / "scores", classes=folder / "classes",
                         taxonomy=folder / "taxonomy", published=published, out=folder / "tables",
                         plot=folder / "plots" / "hit.png")
    return {path.name: path.read_text() for path in (folder / "tables").iterdir()}


def test_papers_figures_stand_beside_ours_where_the_set_is_the_same(tmp_path):
    tables = run(tmp_path, {"2-hops": 1549, "3-hops": 5000, "unseen": 30})
    flat = tables["flat_hit.md"].splitlines()
    start = next(number for number, line in enumerate(flat) if line.startswith("| 2-hops"))
    assert flat[start].startswith("| 2-hops | 1,549 | 50 | Softmax baseline | 11.0 (–) | 12.0 (–) | 15.0 (–)")
    assert flat[start + 1] == "|  |  |  | DeViSE | 11.0 (6.0) | 12.0 (10.0) | 15.0 (18.1) | 20.0 (26.4) | 30.0 (36.4) |"
    assert "2-hops 1,549 (paper 1,589: compared); 3-hops 5,000 (paper 7,860: not the same)" in tables["flat_hit.md"]
    assert "|  |  |  | ConSE(10) | 0.050 (0.094) | 0.050 (0.214)" in tables["hierarchical_precision.md"]
    three = tables["flat_hit.md"].split("| 3-hops |")[1].split("Sizes")[0]
    assert "8.2" not in three and three.count("(–)") == 20


def test_a_removed_t_is_passed_over_and_new_models_come_last(tmp_path):
    tables = run(tmp_path, {"unseen": 30})
    results = pd.read_csv(tmp_path / "tables" / "results.csv")
    assert list(results["model"].unique()) == ["softmax", "devise", "conse-10", "ridge"]
    assert list(results.columns) == ["model", "label_set", "metric", "k", "value"]
    assert set(results[results["metric"] == "hit"]["k"]) == set(KS)
    assert "ConSE(7)" not in tables["overview.md"]


def test_overview(tmp_path):
    overview = run(tmp_path, {"unseen": 21, "unseen+seen": 81})["overview.md"].splitlines()
    assert overview[0].startswith("| model ") and len({len(line) for line in overview[:6]}) == 1
    devise = [cell.strip() for cell in next(line for line in overview if "DeViSE" in line).split("|")[1:-1]]
    assert devise == ["DeViSE", "–", "11.0 12.0 15.0 20.0 30.0", "11.0 15.0 30.0", "0.050", "25.6"]
    assert "unseen: 50 images, 21 labels, 20 of them candidates; chance at 1: 5 %" in overview


def test_tables_say_where_seen_images_were_trained_on(tmp_path):
    assert not any("Training images too" in text for text in run(tmp_path, {"seen": 60}).values())
    tables = run(tmp_path, {"seen": 60}, also_train=40)
    for name in ("flat_hit.md", "hierarchical_precision.md", "overview.md"):
        assert "Training images too: 40 of the 50 validation images" in tables[name]


@pytest.mark.parametrize(("hits", "warned"), [(0, True), (5, True), (6, False)])
def test_the_overview_warns_of_a_network_that_guesses(tmp_path, hits, warned):
    # Of 50 guesses among 60 candidates 5 or more are right with probability 0.0015, 6 or more with 0.00018.
    overview = run(tmp_path, {"seen": 61}, hit=hits / 50 - 0.01)["overview.md"]
    assert ("Near chance: the softmax baseline's hit@1 on 50 images" in overview) == warned


def test_bytes_repeat(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        run(folder, {"seen": 1000, "unseen": 30})
    assert (first / "plots" / "hit.png").read_bytes() == (second / "plots" / "hit.png").read_bytes()
    for path in (first / "tables").iterdir():
        assert path.read_bytes() == (second / "tables" / path.name).read_bytes()


def test_refusals(tmp_path):
    (tmp_path / "scores").mkdir()
    with pytest.raises(InputError, match="holds no scores"):
        run(tmp_path, {}, models=())
    (tmp_path / "scores" / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="x.csv: columns a, b; expected model"):
        run(tmp_path, {}, models=())


def test_classes_stand_side_by_side_with_intervals_and_those_apart_are_summed(tmp_path):
    """Wilson's interval of 5 of 20 is 11.2 to 46.9 %; of 0 of 20 it ends at 16.1 %."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]]
            for line in run(tmp_path, {"unseen": 2})["classes.md"].splitlines() if line.startswith("| ")]
    assert rows == [["class", "images", "DeViSE", "ConSE(10)"],
                    ["Ant (not apart)", "80", "50.0 39–61", "100.0 95–100"], ["zebra", "20", "25.0 11–47", "0.0 0–16"],
                    ["all 2", "100", "45.0 36–55", "80.0 71–87"], ["the 1 apart", "20", "25.0 11–47", "0.0 0–16"]]
