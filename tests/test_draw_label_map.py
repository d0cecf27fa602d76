import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from stages import draw_label_map
from tests.ranking_world import NOUNS, SEEN, SETS, WNID, build
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.taxonomy import read_taxonomy

PARAMS = draw_label_map.Params(labels=300, perplexity=15, seed=0)


def test_names_on_the_map_lie_on_no_other_name_and_on_no_point():
    places = np.random.default_rng(0).normal(size=(40, 2))
    names = [f"label {number}" for number in range(40)]
    figure = draw_label_map.draw_map(places, ["bird"] * 40, [True] * 40, names)
    axis = figure.axes[0]
    boxes = [text.get_window_extent(FigureCanvasAgg(figure).get_renderer()) for text in axis.texts]
    assert [text.get_text() for text in axis.texts] == names
    for place, box in enumerate(boxes):
        assert axis.bbox.x0 <= box.x0 and box.x1 <= axis.bbox.x1 and axis.bbox.y0 <= box.y0 and box.y1 <= axis.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[place + 1:])
        assert not any(box.contains(*point) for point in axis.transData.transform(places))


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
