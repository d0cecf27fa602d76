import json
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stages import make_report
from tests.ranking_world import NOUNS, WNID, build
from tests.report_world import MODELS, PARAMS, build_ranked, make_page, name_the_pug
from zeroshot.base.artifacts import Artifact
from zeroshot.console.errors import InputError
from zeroshot.evaluation.hierarchy import FAR
from zeroshot.evaluation.metrics import KS
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.ranking.rankings import Rankings
from zeroshot.report import classes, counts, curves, label_map, page, papers, tables
from zeroshot.report.mistakes import Distances, mistakes_of
from zeroshot.report.name_places import overlaps, place_names
from zeroshot.taxonomy import read_taxonomy

SEEN = np.array([False, False, True, True, False, False])  # of the labels of `Given`


class Given:
    """Rankings of labels 0 to 5 as chunks of a few images."""

    wnids = [f"n{label:08d}" for label in range(6)]

    def __init__(self, true, first, ranks, rows):
        top = np.full((len(true), 20), -1, np.int32)
        top[:, 0] = first
        self._arrays = {"x/true": np.array(true, np.int32), "x/top": top, "x/rank": np.array(ranks, np.int32)}
        self._rows = rows

    def chunks(self, *names):
        for start in range(0, len(self._arrays["x/true"]), self._rows):
            yield tuple(self._arrays[name][start:start + self._rows] for name in names)


@pytest.fixture(scope="module")
def in_a_row():
    """Labels 0 to 4 are nouns in a row, 5 is no noun."""
    graph = scipy.sparse.diags([np.ones(4, bool), np.ones(4, bool)], [1, -1], (5, 5), format="csr", dtype=bool)
    return Distances(graph, np.array([0, 1, 2, 3, 4, -1]), np.array([0, 1, 2]))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_ranked(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def text(world):
    return make_page(world, world / "report.html")


def data_of(text):
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])


# --- mistakes, by hand

@pytest.mark.parametrize("rows", [1, 2, 3, 9])
def test_first_answers_are_counted_by_class_and_distance_in_chunks_of_any_size(in_a_row, rows):
    ranked = Given([0, 0, 0, 0, 1, 1, 1, 2], [0, 2, 2, 1, 1, 3, 0, 5], [1, 2, 6, 0, 1, 3, 5, 9], rows)
    found = mistakes_of(ranked, "x", SEEN, in_a_row, most=3)
    assert found.counts[:3].tolist() == [[4, 1, 2, 2, 3, 3], [3, 1, 1, 3, 3, 3], [1, 0, 0, 0, 1, 1]]
    assert found.taken_for.tolist() == [[2, 2], [0, 1], [5, 1], [-1, 0], [-1, 0], [-1, 0]]  # of 0 and 3 the first
    assert found.pairs.tolist() == [[0, 2, 2], [0, 1, 1], [1, 0, 1]]
    assert found.by_hops[:, :3].tolist() == [[2, 2, 0], [0, 0, 3]] and found.by_hops[0, FAR] == 1
    assert found.by_hops.sum() == 8
    assert classes.by_distance(found) == {"right": 0.25, "unseen": [0.25, 0, 0, 0.125], "seen": [0.375, 0, 0, 0]}


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), min_size=1, max_size=60), st.integers(1, 7),
       st.integers(1, 5))
def test_mistakes_are_those_that_plain_loops_find(in_a_row, pairs, rows, most):
    pairs.sort(key=lambda pair: pair[0])
    true, first = zip(*pairs, strict=True)
    found = mistakes_of(Given(true, first, [1] * len(true), rows), "x", SEEN, in_a_row, most)
    counted = {}
    for pair in pairs:
        if pair[0] != pair[1]:
            counted[pair] = counted.get(pair, 0) + 1
    ordered = sorted(([*pair, images] for pair, images in counted.items()), key=lambda row: (-row[2], *row))
    assert found.pairs.tolist() == ordered[:most]
    for label in range(6):
        of_label = [row[1:] for row in ordered if row[0] == label]
        assert found.taken_for[label].tolist() == (of_label[0] if of_label else [-1, 0])
    expected = np.zeros((2, FAR + 1), int)
    for label, answer in pairs:
        expected[int(SEEN[answer]), FAR if answer == 5 else abs(label - answer)] += 1
    assert (found.by_hops == expected).all()


def test_more_classes_than_may_be_shown_are_drawn_at_random():
    tested = np.zeros((9, 1 + len(KS)), int)
    tested[[1, 3, 4, 8], 0] = 2
    assert classes.chosen_classes(tested, 4, 0).tolist() == [1, 3, 4, 8]
    drawn = [classes.chosen_classes(tested, 2, seed).tolist() for seed in range(8)]
    assert all(len(set(one) & {1, 3, 4, 8}) == 2 and one == sorted(one) for one in drawn)
    assert len(set(map(str, drawn))) > 1


def test_labels_are_numbered_anew_by_those_that_are_used(tmp_path):
    nouns = read_taxonomy(build(tmp_path) / "taxonomy")
    wnids = sorted(WNID.values())
    sheets = [{"classes": [4, 7], "models": [{"taken": [9, -1]}]}]
    pairs = [{"rows": [[4, 2, 5, 3]]}]
    seen = np.arange(10) == 9
    rows = classes.numbered_anew(sheets, pairs, wnids, seen, nouns)
    names = list(NOUNS)
    assert rows == [[names[label], wnids[label], int(label == 9)] for label in (2, 4, 7, 9)]
    assert sheets == [{"classes": [1, 2], "models": [{"taken": [3, -1]}]}] and pairs == [{"rows": [[1, 0, 5, 3]]}]


# --- the page of a little world

def test_the_page_says_what_the_rankings_hold(world, text):
    data, sets = data_of(text), read_label_sets(world / "label_sets")
    assert data["models"] == ["Softmax baseline", "ConSE(1)", "ConSE(2)", "HierSE"]
    assert [sheet["set"] for sheet in data["sheets"]] == ["seen", "unseen", "unseen+seen"]
    ranked = Rankings(world / "rankings" / "conse" / "conse-2.safetensors", sets)
    sheet = data["sheets"][2]
    column = next(one for one in sheet["models"] if data["models"][one["model"]] == "ConSE(2)")
    for place, label in enumerate(sheet["classes"]):
        name, wnid, seen = data["labels"][label]
        here = ranked["unseen+seen/true"] == ranked.wnids.index(wnid)
        first, rank = ranked["unseen+seen/top"][here, 0], ranked["unseen+seen/rank"][here]
        assert (WNID[name], seen) == (wnid, 0) and sheet["images"][place] == here.sum()
        assert column["hit1"][place] == (rank == 1).sum() and column["hit5"][place] == (rank <= 5).sum()
        wrong = {answer: count for answer, count in zip(*np.unique(first[rank != 1], return_counts=True), strict=True)}
        if wrong:
            assert column["times"][place] == max(wrong.values())
            assert wrong[ranked.wnids.index(data["labels"][column["taken"][place]][1])] == max(wrong.values())


def test_hops_are_wordnets(text):
    """pug - dog - animal - cat: 3; pug - husky: 2; canoe - ship - artefact - car: 3; pug - ... - car: 5."""
    data = data_of(text)
    expected = {("pug", "cat"): 3, ("pug", "husky"): 2, ("pug", "car"): 5, ("canoe", "car"): 3, ("canoe", "cat"): 5,
                ("canoe", "husky"): 6, ("pug", "canoe"): 6, ("canoe", "pug"): 6}
    told = {(data["labels"][true][0], data["labels"][answer][0]): hops for one in data["confusions"]
            if one["set"] != "seen" for true, answer, _, hops, _ in one["rows"]}
    tested = {(sheet["set"], label): images for sheet in data["sheets"]
              for label, images in zip(sheet["classes"], sheet["images"], strict=True)}
    assert all(row[4] == tested[one["set"], row[0]] for one in data["confusions"] for row in one["rows"])
    assert told and told == {pair: expected[pair] for pair in told}


def test_pictures_are_the_indexs_with_the_first_answers(world, text):
    sets, nouns = read_label_sets(world / "label_sets"), read_taxonomy(world / "taxonomy")
    ranked = {"conse-1": Rankings(world / "rankings" / "conse" / "conse-1.safetensors", sets)}
    reader = make_report.open_pixels(world / "index", world)
    made = make_report.pictures(make_report.Params(**PARAMS), ranked, ["seen", "unseen", "unseen+seen"],
                                set(sets["seen"]), nouns, reader)
    assert sorted(picture["name"] for picture in made) == ["canoe", "pug"]
    row_of, top = ranked["conse-1"]["unseen+seen/row"], ranked["conse-1"]["unseen+seen/top"]
    name = {wnid: noun for noun, wnid in WNID.items()}
    for picture in made:
        assert picture["address"] in text and picture["size"] == (6, 8)
        places = [place for place, row in enumerate(row_of)
                  if page.data_uri(reader.image(row)) == picture["address"]]
        wnids = [ranked["conse-1"].wnids[label] for label in top[places[0]][:3]]
        assert picture["answers"]["unseen+seen"]["ConSE(1)"] == [
            (name[wnid], wnid == picture["wnid"], wnid in sets["seen"]) for wnid in wnids]
        assert picture["right"]["unseen"] == (["ConSE(1)"] if picture["answers"]["unseen"]["ConSE(1)"][0][1] else [])


def test_the_page_holds_counts_settings_versions_and_seals_but_no_path_and_no_address(world, text):
    for said in ("1,234", "image files that do not begin like an image", "index_images", "(a path on this machine)",
                 Artifact(world / "rankings" / "softmax.safetensors").sha256, "torch <b>2."):
        assert said in text
    assert "/home/somebody" not in text and str(world) not in text and "an anchor" not in text
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)|url\(|@import|https?://(?!www\.w3\.org)""", text)


def test_the_bytes_repeat(world, text):
    assert make_page(world, world / "again.html") == text
    assert make_page(world, world / "other.html", seed=3) != text


def test_without_images_of_unseen_classes_the_seen_ones_are_shown(tmp_path):
    world = build_ranked(tmp_path)
    for path in (world / "scores").glob("*.csv"):
        if path.stem != "softmax":
            path.unlink()
    text = make_page(world, world / "report.html", label_set="3-hops")
    assert [sheet["set"] for sheet in data_of(text)["sheets"]] == ["seen"] and "of <b>seen</b>" in text


def test_names_are_escaped(world, text, monkeypatch):
    wicked = "</script><script>alert(1)</script>&\"'"
    name_the_pug(monkeypatch, wicked)
    made = make_page(world, world / "wicked.html")
    assert "alert(1)" in made and "<script>alert" not in made and made.count("</script>") == text.count("</script>")
    assert [label[0] for label in data_of(made)["labels"] if label[1] == WNID["pug"]] == [wicked]


# --- its parts

def test_tables_put_the_papers_figures_beside_ours():
    paper = pd.read_csv("presets/papers/conse_tables.csv")
    ours = {("devise", "2-hops", metric, k): value for metric, base in (("hit", 0.1), ("hp", 0.2)) for k, value in
            zip(KS, (base, base + 0.1, 0.4, 0.5, 0.6), strict=True)}
    ours |= {("conse-10", *key[1:]): value / 2 for key, value in ours.items()}
    ours |= {(model, "2-hops", key, None): value for model in ("devise", "conse-10")
             for key, value in (("images", 7), ("labels", 1600), ("candidates", 1500))}
    ours |= {("devise", "2-hops", "hit_low", 1): 0.08, ("devise", "2-hops", "hit_high", 1): 0.12}
    made = tables.tables(ours, ["devise", "conse-10"], paper, 0.03)
    assert [(table.metric, table.labels, table.candidates, table.compared) for table in made] == [
        ("hit", 1600, 1500, True), ("hp", 1600, 1500, True)]
    model, cells = made[0].rows[0]
    assert model == "DeViSE" and cells[0] == tables.Cell("10.0", "6.0", "8.0–12.0", True)
    assert made[0].rows[1][1][0] == tables.Cell("5.0", "9.4") and made[1].rows[1][1][4].ours == "0.300"
    ours |= {(model, "2-hops", "labels", None): 900 for model in ("devise", "conse-10")}
    other = tables.tables(ours, ["devise", "conse-10"], paper, 0.03)
    assert not other[0].compared and other[0].rows[0][1][0].paper == ""


def test_the_best_of_every_column_is_marked_those_beside_the_ks_too():
    best = {"devise": 0.4, "conse-10": 0.3}
    ours = {(model, "2-hops+seen", metric, k): value for model, value in best.items() for metric, k in
            [*((name, k) for name in ("hit", "hp") for k in KS), ("macro_hit", 1)]}
    ours |= {(model, "2-hops+seen", key, None): 7 for model in best for key in ("images", "labels", "candidates")}
    ours["conse-10", "2-hops+seen", "gzsl_harmonic", None] = 0.2
    made, _ = tables.tables(ours, list(best), pd.read_csv("presets/papers/conse_tables.csv"), 0.03)
    assert made.columns[5:] == ["mean over classes", "harmonic mean"]
    assert {model: [cell.best for cell in cells] for model, cells in made.rows} == {
        "DeViSE": [True] * 6 + [False], "ConSE(10)": [False] * 6 + [True]}
    assert [cell.ours for _, cells in made.rows for cell in cells[5:]] == ["40.0", "–", "30.0", "20.0"]


def test_facts_are_the_best_models():
    ours = {("a", "seen", "hit", 1): 0.5, ("devise", "seen", "hit", 1): 0.7}
    ours |= {(model, "seen", key, None): 50 for model in ("a", "devise") for key in ("images", "candidates")}
    [(figure, said)] = tables.facts(ours, ["a", "devise"], "unseen")
    assert figure == "70.0 %" and "DeViSE" in said and "chance: 2 %" in said


@pytest.mark.parametrize("highest, step", [(0.004, 0.001), (0.05, 0.01), (0.051, 0.02), (0.99, 0.2), (1.0, 0.2)])
def test_an_axis_has_at_most_five_ticks(highest, step):
    assert curves.step_for(highest) == step


def test_a_curve_goes_through_its_values():
    values = (0.2, 0.4, 0.6, 0.8, 1)
    ours = {("devise", "seen", metric, k): value for metric in ("hit", "hp")
            for k, value in zip(KS, values, strict=True)}
    ours |= {("devise", "seen", "images", None): 5, ("devise", "seen", "candidates", None): 10}
    panel, _ = curves.panels(ours, ["softmax", "devise"])
    [line] = panel.lines
    assert line.model == 1 and line.title == "DeViSE: 20.0 at 1, 40.0 at 2, 60.0 at 5, 80.0 at 10, 100.0 at 20"
    height = curves.HEIGHT - curves.TOP - curves.BOTTOM
    assert [y for _, y in line.points] == pytest.approx([curves.TOP + height * (1 - value) for value in values])
    assert line.points[0][0] == curves.LEFT and line.points[4][0] == curves.WIDTH - curves.RIGHT
    assert len(panel.chance.split()) == 4  # 0.1, 0.2, 0.5, 1; not 2


@given(st.lists(st.tuples(st.floats(10, 190), st.floats(10, 190)), min_size=1, max_size=12))
def test_names_cover_nothing_where_there_is_room(points):
    points, sizes = np.array(points), np.full((len(points), 2), (14.0, 6.0))
    boxes, free = place_names(points, sizes, (200, 200), mark=2)
    assert (boxes[:, :2] >= -1e-9).all() and (boxes[:, 2:] <= 200 + 1e-9).all()
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], sizes)
    shared = overlaps(boxes, boxes)
    for one, two in np.argwhere(np.triu(shared > 1e-9, 1)):
        assert not free[two], (one, two)


def test_names_of_points_that_lie_together_are_moved_apart():
    points = np.array([[50.0, 50], [51, 50], [50, 51]])
    boxes, free = place_names(points, np.full((3, 2), (20.0, 8.0)), (100, 100), mark=2)
    assert free.all() and np.triu(overlaps(boxes, boxes), 1).sum() == 0


def test_overlaps_are_areas():
    assert overlaps(np.array([[0, 0, 4, 4.0]]), np.array([[2, 1, 5, 3.0], [4, 0, 6, 4], [9, 9, 10, 10]])).tolist() == [
        [4.0, 0, 0]]


def test_the_map_names_the_nearest_labels(tmp_path):
    vectors = {"dog": [1, 0, 0], "cat": [0.9, 0.1, 0], "car": [0, 1, 0], "ship": [0, 0.9, 0.3]}
    world = build(tmp_path, vectors)
    places = pd.DataFrame({"wnid": [WNID[name] for name in vectors], "x": [0.0, 1, 8, 9], "y": [0.0, 4, 8, 2],
                           "kind": "other"})
    made = label_map.points(places, read_label_vectors(world / "lemmas.safetensors"), {WNID["cat"]},
                            read_taxonomy(world / "taxonomy"))
    assert [(point.name, point.nearest[0], point.seen) for point in made] == [
        ("dog", "cat", False), ("cat", "dog", True), ("car", "ship", False), ("ship", "car", False)]
    assert (made[0].x, made[0].y) == (label_map.MARGIN, label_map.HEIGHT - label_map.MARGIN)  # y goes up there
    assert made[3].x == label_map.WIDTH - label_map.MARGIN and made[2].y == label_map.MARGIN


def test_counts_are_of_what_there_is(tmp_path):
    (tmp_path / "embed_labels.json").write_text(json.dumps({f"seen/{key}": 1 for key in counts.COVERAGE}))
    known = counts.read_counts(tmp_path)
    assert counts.coverage(known) == [("seen", [1] * 5)] and counts.left_out(known, {}) == []
    ours = {("a", "seen", "images_in_no_label_set", None): 3, ("b", "seen", "images_in_no_label_set", None): 4}
    assert [(one.where, one.count) for one in counts.left_out(known, ours)] == [("ranking", 4)]


def test_a_picture_is_kept_to_the_pixel_if_it_is_small():
    assert page.data_uri(Image.new("RGB", (64, 20))).startswith("data:image/png;")
    assert page.data_uri(Image.new("RGB", (65, 20))).startswith("data:image/jpeg;")


def test_figures_are_printed_as_the_papers_do():
    assert [papers.as_printed(*cell) for cell in (("hit", 0.1234), ("hp", 0.1234), ("hit", None))] == [
        "12.3", "0.123", "–"]


@pytest.mark.parametrize("label_set", ["seen", "unseen+seen", "unsen", "most-5+seen"])
def test_the_label_set_is_a_zero_shot_one(label_set):
    with pytest.raises(ValueError, match="one of unseen, 2-hops, 3-hops, 21k, most-<n> or least-<n>"):
        make_report.Params(**{**PARAMS, "label_set": label_set})


def test_a_label_set_that_the_run_did_not_make_is_refused(world):
    with pytest.raises(InputError, match=r"`make_report.label_set` is most-5, .*`build_label_sets.populated.sizes`"):
        make_page(world, world / "refused.html", label_set="most-5")


def test_models_are_those_of_the_tables(world):
    assert set(MODELS) == {path.stem for path in (world / "scores").glob("*.csv")}
