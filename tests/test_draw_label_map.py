import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from stages import draw_label_map
from tests.ranking_world import NOUNS, SEEN, SETS, WNID, build
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.report.figures import save
from zeroshot.taxonomy import read_taxonomy

PARAMS = draw_label_map.Params(labels=300, perplexity=15, seed=0)


def draw(places, seen):
    labels = range(len(places))
    return draw_label_map.draw_map(places, ["bird"] * len(places), seen, [f"label {label}" for label in labels])


def named(figure) -> list[int]:
    return [int(text.get_text().removeprefix("label ")) for text in figure.axes[0].texts]


@pytest.mark.parametrize("labels", [40, 300])
def test_names_on_the_map_lie_on_no_other_name_and_on_no_point(labels):
    places = np.random.default_rng(0).normal(size=(labels, 2))
    figure = draw(places, [label % 3 > 0 for label in range(labels)])
    axis = figure.axes[0]
    boxes = [text.get_window_extent(FigureCanvasAgg(figure).get_renderer()) for text in axis.texts]
    for place, box in enumerate(boxes):
        assert axis.bbox.x0 <= box.x0 and box.x1 <= axis.bbox.x1 and axis.bbox.y0 <= box.y0 and box.y1 <= axis.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[place + 1:])
        assert not any(box.contains(*point) for point in axis.transData.transform(places))


def test_a_name_is_nearer_to_its_own_point_than_to_any_other():
    places = np.random.default_rng(0).normal(size=(300, 2))
    figure = draw(places, [True] * 300)
    axis = figure.axes[0]
    points = axis.transData.transform(places)
    for label, text in zip(named(figure), axis.texts, strict=True):
        box = text.get_window_extent(FigureCanvasAgg(figure).get_renderer())
        assert np.linalg.norm(points - np.clip(points, box.p0, box.p1), axis=1).argmin() == label


def test_every_label_is_named_where_there_is_room():
    assert named(draw(np.random.default_rng(0).normal(size=(40, 2)), [True] * 40)) == list(range(40))


def test_names_are_spread_over_a_crowded_map():
    places = np.random.default_rng(0).uniform(size=(600, 2))
    places = places[np.argsort(places[:, 0])]  # labels are sorted, and like ones lie together
    where = places[named(draw(places, [True] * 600))]
    counts = np.histogram2d(*where.T, bins=3, range=[(0, 1), (0, 1)])[0]
    assert len(where) < 450 and counts.min() > 0.6 * counts.max()


def test_unseen_labels_are_named_first_and_leave_seen_ones_room():
    seen = [label % 2 > 0 for label in range(300)]
    names = named(draw(np.random.default_rng(0).normal(size=(300, 2)), seen))
    of_seen = sum(seen[label] for label in names)
    assert 0 < 2 * of_seen < len(names) < 150


def test_the_map_repeats_bit_for_bit(tmp_path):
    places = np.random.default_rng(0).normal(size=(100, 2))
    for name in ("one.png", "two.png"):
        save(draw(places, [label > 50 for label in range(100)]), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.parametrize("seen, marks", [([True] * 3, ["seen"]), ([False] * 3, ["unseen"]),
                                         ([False, True, True], ["seen", "unseen"])])
def test_the_legend_lists_what_is_on_the_map(seen, marks):
    figure = draw_label_map.draw_map(np.eye(3, 2), ["fish", "other", "bird"], seen, list("abc"))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["bird", "fish", "other", *marks]


def test_places_are_written_as_a_table(tmp_path):
    draw_label_map.write_places(tmp_path / "map.csv", ["n00000001"], np.array([[1.25, -3]]), ["bird"])
    assert (tmp_path / "map.csv").read_text() == "wnid,x,y,kind\nn00000001,1.2500,-3.0000,bird\n"


def test_a_label_has_the_kind_of_its_nearest_listed_hypernym(tmp_path, monkeypatch):
    nouns = read_taxonomy(build(tmp_path) / "taxonomy")
    monkeypatch.setattr(draw_label_map, "KINDS", {WNID["dog"]: "dogs", WNID["animal"]: "other animals"})
    kinds = {noun: draw_label_map.kind_of(WNID[noun], nouns) for noun in NOUNS}
    assert kinds == {"entity": "other", "animal": "other animals", "dog": "dogs", "cat": "other animals",
                     "husky": "dogs", "pug": "dogs", "artefact": "other", "car": "other", "ship": "other",
                     "canoe": "other"}


def test_the_kinds_are_nouns_each_before_its_hypernyms(taxonomy_folder):
    """Or a label would never count to it."""
    nouns = read_taxonomy(taxonomy_folder)
    for wnid, name in draw_label_map.KINDS.items():
        assert wnid in nouns.index and draw_label_map.kind_of(wnid, nouns) == name


def test_near_vectors_lie_near_each_other_and_the_bits_repeat():
    random = np.random.default_rng(0)
    centres = np.repeat(random.standard_normal((2, 8)), 10, axis=0)
    vectors = (centres + 0.1 * random.standard_normal((20, 8))).astype(np.float32)
    near = PARAMS.model_copy(update={"perplexity": 5})
    places = draw_label_map.place_labels(vectors, near)
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    assert distances[:10, :10].max() < distances[:10, 10:].min()
    assert places.tobytes() == draw_label_map.place_labels(vectors, near).tobytes()


def test_the_map_holds_seen_and_unseen_labels_that_have_a_vector(tmp_path):
    vectors = {noun: np.random.default_rng(1).normal(size=4) for noun in NOUNS if noun != "cat"}
    world = build(tmp_path, vectors)
    labels, sets = read_label_vectors(world / "lemmas.safetensors"), read_label_sets(world / "label_sets")
    everything = sorted({*SEEN, *SETS["unseen"]} - {WNID["cat"]})
    assert draw_label_map.pick_labels(labels, sets, PARAMS) == everything
    few = draw_label_map.pick_labels(labels, sets, PARAMS.model_copy(update={"labels": 3}))
    assert len(few) == 3 and set(few) < set(everything)
