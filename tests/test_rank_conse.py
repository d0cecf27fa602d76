import types

import numpy as np
import pydantic
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import rank_conse
from tests.processes import NO_SHARING, run_as_two
from tests.ranking_world import NOUNS, SEEN, WNID, build
from tests.vision import CLASSIFIERS, WNIDS, make_index, make_labels
from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.closed_form.models import classifiers, read_closed_form
from zeroshot.console.errors import InputError
from zeroshot.images.index import ImageIndex
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.labels.label_vectors import LabelVectors, read_label_vectors, write_label_vectors
from zeroshot.ranking import rank_images
from zeroshot.ranking.conse import Rows, conse_mixture
from zeroshot.ranking.rankings import Rankings
from zeroshot.ranking.stacking import folds_of

PARAMS = dict(t=[1], hierse_t=1, hierse_temperature=1.0, hierse_csls_neighbours=0, hierse_hubs="val",
              hierse_classifiers=CLASSIFIERS, handicap=0,
              handicap_without_val=0.0, folds=2, seed=0, threads=1, any_processor=True)


def run(world, t=2):
    rank(world, t)
    return Rankings(world / "conse" / f"conse-{t}.safetensors", read_label_sets(world / "label_sets"))


def rank(world, t, **changed):
    params = rank_conse.Params(**{**PARAMS, "t": [3, t], **changed})
    rank_conse.main(params, features=world / "features", cnn=world / "cnn.safetensors", index=world / "index",
                    lemmas=world / "lemmas.safetensors", hypernyms=world / "hypernyms.safetensors",
                    label_sets=world / "label_sets", out=world / "conse", hierse=world / "hierse.safetensors",
                    hierse_classifiers=world / "classifiers.safetensors",
                    metrics=world / "metrics.json")


def test_mixture_by_hand():
    probabilities = torch.tensor([[0.5, 0.3, 0.2]])
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    mixed = [conse_mixture(probabilities, vectors, t) for t in (1, 2, 3, 1000)]
    torch.testing.assert_close(torch.cat(mixed), torch.tensor([[1, 0], [0.625, 0.375], [0.3, 0.3], [0.3, 0.3]]))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_mixture_against_a_plain_loop(seed, t):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(8), size=3).astype(np.float32)
    vectors = rng.normal(size=(8, 5)).astype(np.float32)
    for image, mixed in enumerate(conse_mixture(torch.tensor(probabilities), torch.tensor(vectors), t)):
        likeliest = np.argsort(-probabilities[image])[:t]
        total = sum(probabilities[image, y] * vectors[y] for y in likeliest)
        np.testing.assert_allclose(mixed, total / probabilities[image, likeliest].sum(), rtol=1e-4, atol=1e-6)


def test_conse_of_1_answers_with_the_likeliest_label(tmp_path):
    world = build(tmp_path)
    ranked = run(world, 1)
    logits = Artifact(world / "features" / "logits.safetensors")["logits"]
    likeliest = [ranked.wnids.index(SEEN[output]) for output in logits[:9].argmax(1)]
    assert ranked["seen/top"][:, 0].tolist() == likeliest and ranked.model == "conse-1"


def test_a_seen_label_without_vector_is_left_out_and_counted(tmp_path):
    rng = np.random.default_rng(1)
    world = build(tmp_path, {name: rng.normal(size=4) for name in NOUNS if name != "cat"})
    ranked = run(world, 1)
    assert ranked.counts == {"seen_labels_not_mixed": 1, "images_in_no_label_set": 0, "val_images_also_train": 0}
    logits = Artifact(world / "features" / "logits.safetensors")["logits"]
    cat = SEEN.index(WNID["cat"])
    logits[:, cat] = -np.inf
    vectors, _ = read_label_vectors(world / "lemmas.safetensors").of(SEEN)
    assert ranked["seen/top"][:, 0].tolist() == [ranked.wnids.index(SEEN[output]) for output in logits[:9].argmax(1)]
    assert not vectors[cat].any()


def test_hierse_is_conse_of_its_own_t_with_the_other_label_vectors(tmp_path):
    world = build(tmp_path)
    plain = run(world, 1)
    hierse = Rankings(world / "hierse.safetensors", read_label_sets(world / "label_sets"))
    assert hierse.model == "hierse" and not np.array_equal(hierse["unseen+seen/top"], plain["unseen+seen/top"])
    (world / "hypernyms.safetensors").write_bytes((world / "lemmas.safetensors").read_bytes())
    rank(world, 2)
    same = Rankings(world / "hierse.safetensors", read_label_sets(world / "label_sets"))
    assert all(np.array_equal(same[f"unseen+seen/{array}"], plain[f"unseen+seen/{array}"]) for array in ("top", "rank"))


@pytest.fixture
def classified(tmp_path):
    """16 validation images of 4 seen classes, for which a classifier knows little more than nothing."""
    index = make_index(tmp_path / "index")
    rows = np.concatenate([index.rows(1), index.rows(2)])
    logits = np.random.default_rng(5).normal(size=(len(rows), 4)).astype(np.float32)
    logits[np.arange(16), index.labels[rows[:16]]] += 1
    logits[16:] = np.nan  # unseen images: reading one would be refused
    write_artifact(tmp_path / "logits.safetensors", {}, {"logits": logits, "row": rows})
    make_labels(tmp_path / "labels.safetensors")
    mixer = rank_conse.Mixer.of(tmp_path / "labels.safetensors", WNIDS[:4], 2, torch.device("cpu"))
    return rank_conse.ImageValues.beside_rows(Artifact(tmp_path / "logits.safetensors"), "logits"), mixer, index


@pytest.mark.parametrize("chunk, temperature, neighbours, rows, beside", [
    (5, 1.0, 0, None, 0), (1024, 1.0, 0, None, 0), (5, 3.0, 2, None, 0), (1024, 1.0, 2, None, 0),
    (5, 3.0, 2, [[1, 0.5], [0.2, 1], [1, 1], [0.5, -1]], 0), (5, 1.0, 0, None, 2), (5, 3.0, 2, None, 0.5)])
def test_the_handicap_against_a_plain_loop(classified, monkeypatch, chunk, temperature, neighbours, rows, beside):
    monkeypatch.setattr(rank_images, "VAL_CHUNK", chunk)
    values, mixer, index = classified
    mixer = mixer._replace(temperature=temperature)
    params = rank_conse.Params(**{**PARAMS, "hierse_csls_neighbours": neighbours})
    layer = Rows(torch.tensor([[3, 1.5], [0.2, 1], [1, 1], [0.5, -1]]), torch.tensor([0.1, 0, 0.5, -1]))
    asked = rank_conse.Classifiers(**{**CLASSIFIERS, "share": beside})
    chosen = rank_conse.choose_handicap(params, values, rank_conse.with_classifiers(asked, mixer, layer), index,
                                        rows and Rows(torch.tensor(rows), torch.zeros(4)))
    fold, vectors = folds_of(4, 2, 0).numpy(), mixer.vectors.numpy()
    logits, true = values.read(0, 16), index.labels[values.rows[:16]]
    learn = classifiers(layer.weights.double(), layer.bias.double(), mixer.vectors.double(), 8)
    models = [learn(0.01, 3.0, torch.from_numpy(fold != f)) for f in (0, 1)]
    predicted = [(F.normalize(model.points(torch.from_numpy(logits).double())) @ model.places(mixer.vectors.double()).T)
                 .numpy() for model in models]

    def cosines(image, f):
        likely = sorted(np.flatnonzero(fold != f), key=lambda y: -logits[image, y])[:2]
        point = sum(np.exp(logits[image, y] / temperature) * vectors[y] for y in likely)
        mixed = vectors @ (point / np.linalg.norm(point))
        return (mixed + beside * predicted[f][image]) / (1 + beside)

    def stand_in(y, f):  # T is 2, and so many classes are not in the fold
        cosine = {z: np.dot(rows[y], rows[z]) / np.linalg.norm(rows[y]) / np.linalg.norm(rows[z]) for z in range(4)}
        point = sum(max(cosine[z], 0) * vectors[z] for z in range(4) if fold[z] != f)
        return point / np.linalg.norm(point)

    def hub(label, f):  # by images of the other classes, or by their rows
        if rows:
            others = sorted(stand_in(y, f) @ vectors[label] for y in range(4) if fold[y] != f)
        else:
            others = sorted(cosines(image, f)[label] for image in range(16) if fold[true[image]] != f)
        return np.mean(others[-neighbours:]) if neighbours else 0

    hubs = [np.array([hub(label, f) for label in range(4)]) for f in (0, 1)]
    curve = []
    for handicap in range(101):
        means = []
        for f in (0, 1):
            share = np.zeros(4)
            for image in range(16):
                scores = cosines(image, f) - hubs[f] / 2 - handicap / 100 * (fold != f)
                share[true[image]] += (scores.argmax() == true[image]) / 4
            held, others = share[fold == f].mean(), share[fold != f].mean()
            means.append(2 * held * others / (held + others) if held + others else 0)
        curve.append(np.mean(means))
    assert 0 < chosen["held_out_harmonic"] == pytest.approx(max(curve))
    assert curve[round(100 * chosen["seen_handicap"])] == pytest.approx(max(curve))


def test_unseen_images_and_labels_do_not_move_the_handicap(classified, tmp_path):
    values, mixer, index = classified

    def choose(logits, labels=tmp_path / "labels.safetensors"):
        path = tmp_path / "other.safetensors"
        write_artifact(path, {}, {"logits": logits, "row": values.rows[:len(logits)]})
        of_labels = rank_conse.Mixer.of(labels, WNIDS[:4], 2, torch.device("cpu"))
        return rank_conse.choose_handicap(rank_conse.Params(**PARAMS), rank_conse.ImageValues.beside_rows(
            Artifact(path), "logits"), lambda _: of_labels, index)

    logits, vectors = values.source["logits"], mixer.labels.vectors.copy()
    chosen = choose(logits)
    vectors[4:] = np.roll(vectors[:4], 1, axis=0)[:2]
    write_label_vectors(tmp_path / "changed.safetensors", LabelVectors(WNIDS, vectors, mixer.labels.row_label))
    make_labels(tmp_path / "removed.safetensors", without=WNIDS[4:])
    assert np.isnan(logits[16:]).all() and chosen["seen_handicap"] > 0
    assert choose(np.nan_to_num(logits, nan=50)) == choose(logits[:16]) == chosen
    assert choose(logits, tmp_path / "changed.safetensors") == chosen
    assert choose(logits, tmp_path / "removed.safetensors") == chosen
    assert choose(-logits) != chosen  # a seen image's logits do


def test_a_handicap_moves_hierses_seen_labels_only_where_unseen_ones_compete(tmp_path, monkeypatch):
    world = build(tmp_path)
    run(world)
    free = Rankings(world / "hierse.safetensors", read_label_sets(world / "label_sets"))
    monkeypatch.setattr(rank_conse, "FEWEST", 3)  # classes of this world
    monkeypatch.setattr(rank_conse, "choose_handicap", lambda *_: {"seen_handicap": 1.5, "held_out_harmonic": 1.0})
    rank(world, 2, handicap="auto")
    held = Rankings(world / "hierse.safetensors", read_label_sets(world / "label_sets"))
    assert np.array_equal(held["seen/top"], free["seen/top"]) and np.array_equal(held["unseen/top"], free["unseen/top"])
    assert held["unseen+seen/rank"].max() <= free["unseen+seen/rank"].min() + 1
    assert not np.array_equal(held["unseen+seen/rank"], free["unseen+seen/rank"])


def test_predicted_classifiers_count_beside_hierses_mixture(tmp_path, capsys):
    world, rng = build(tmp_path), np.random.default_rng(8)
    rows, bias = rng.normal(size=(3, 5)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    write_artifact(world / "cnn.safetensors", {"wnids": SEEN}, {"classifier.weight": rows, "classifier.bias": bias})
    rank(world, 1, hierse_t=2)
    assert "rank_conse.hierse_classifiers.share is 0" in capsys.readouterr().out
    alone, conse = Artifact(world / "hierse.safetensors"), Artifact(world / "conse" / "conse-1.safetensors").sha256
    rank(world, 1, hierse_t=2, handicap=0.25, hierse_classifiers={**CLASSIFIERS, "share": 2.0})
    found = Artifact(world / "hierse.safetensors")
    assert Artifact(world / "conse" / "conse-1.safetensors").sha256 == conse
    assert found.meta["settings"] == {"t": 2, "temperature": 1.0, "classifiers": 2.0}
    assert "classifiers" not in alone.meta["settings"]
    labels = read_label_vectors(world / "hypernyms.safetensors")
    seen = torch.from_numpy(labels.of(SEEN)[0])
    logits = torch.from_numpy(Artifact(world / "features" / "logits.safetensors")["logits"])
    model = classifiers(*(torch.from_numpy(x).double() for x in (rows, bias)), seen.double(), 8)(0.01, 3.0)
    vectors = torch.from_numpy(labels.vectors).double()
    mixed = F.normalize(conse_mixture(logits.softmax(1), seen, 2)).double() @ vectors.T
    cosines = (mixed + 2 * F.normalize(model.points(logits.double())) @ model.places(vectors).T) / 3
    of_labels = torch.stack([cosines[:, torch.from_numpy(labels.row_label == label)].max(1).values
                             for label in range(len(labels.wnids))], 1)
    of_labels[:, torch.from_numpy(np.isin(labels.wnids, SEEN))] -= 0.25
    candidates = [labels.index[wnid] for wnid in sorted([WNID["pug"], WNID["canoe"], *SEEN])]
    first = [candidates[place] for place in of_labels[:, candidates].argmax(1).tolist()]
    assert found["unseen+seen/top"][:, 0].tolist() == first[-9:]  # nine unseen images, after nine validation images
    written, file = read_closed_form(world / "classifiers.safetensors")
    assert file.meta["labels"] == labels.sha256
    torch.testing.assert_close(written.places(vectors.float()), model.places(vectors).float(), atol=1e-5, rtol=0)


def test_hierse_lowers_hubs_by_validation_images_alone_and_conse_none(tmp_path):
    world, files = build(tmp_path), ("hierse.safetensors", "conse/conse-1.safetensors")
    run(world, 1)
    plain = [Artifact(world / file)["21k/top"] for file in files]
    rank(world, 1, hierse_csls_neighbours=2, hierse_temperature=2.0)
    hierse, conse = (Artifact(world / file) for file in files)
    labels = read_label_vectors(world / "hypernyms.safetensors")
    logits, index = Artifact(world / "features" / "logits.safetensors"), ImageIndex.read(world / "index")
    val = logits["logits"][:len(index.rows(1))]
    seen = labels.of(SEEN)[0]
    points = seen[val.argmax(1)]  # T is 1
    expected = np.zeros(len(labels.wnids), np.float32)
    for label in range(len(labels.wnids)):
        of_rows = [np.sort(points @ row)[-2:].mean() for row in labels.vectors[labels.row_label == label]]
        expected[label] = max(of_rows)
    np.testing.assert_allclose(hierse["bias"], -expected / 2, atol=1e-6)
    assert hierse.meta["settings"] == {"t": 1, "temperature": 2.0} and conse.meta["settings"]["temperature"] == 1.0
    assert "bias" not in conse
    assert np.array_equal(conse["21k/top"], plain[1]) and not np.array_equal(hierse["21k/top"], plain[0])


@pytest.mark.parametrize("given, expected", [(True, "auto"), (False, 0.0), ("auto", "auto"), (0, 0.0), (0.25, 0.25)])
def test_what_the_handicap_may_be(given, expected):
    assert rank_conse.Params(**{**PARAMS, "handicap": given}).handicap == expected
    for wrong in ("off", -0.1, None, 3):
        with pytest.raises(pydantic.ValidationError):
            rank_conse.Params(**{**PARAMS, "handicap": wrong})


def test_too_few_classes_for_the_folds(classified):
    values, mixer, index = classified
    with pytest.raises(InputError, match="`rank_conse.folds` is 3, for which 6 seen classes .* found 4"):
        rank_conse.choose_handicap(rank_conse.Params(**{**PARAMS, "folds": 3}), values, lambda _: mixer, index)


def test_validation_images_of_one_class_choose_no_handicap(classified, capsys):
    """In no fold are there images both of a class that plays unseen and of one that is seen."""
    values, mixer, index = classified
    one = types.SimpleNamespace(seen=index.seen, roles=index.roles, rows=index.rows,
                                numbered=lambda wnids, rows: np.zeros(len(rows), int))
    params = rank_conse.Params(**{**PARAMS, "handicap": "auto", "handicap_without_val": 0.25})
    assert rank_conse.handicap_of(params, values, lambda _: mixer, one, None) == {"seen_handicap": 0.25}
    assert ("validation images of too few classes, or none named right, to choose HierSE's handicap by; it is 0.25"
            in capsys.readouterr().out)
    assert "held_out_harmonic" in rank_conse.handicap_of(params, values, lambda _: mixer, index, None)


def test_refusals(tmp_path):
    world = build(tmp_path, {"dog": np.ones(4)})
    with pytest.raises(InputError, match="none of the 3 seen labels has a vector"):
        run(world)


def test_t_twice_is_refused():
    with pytest.raises(ValueError, match=r"distinct numbers.*\[10\] more than once"):
        rank_conse.Params(**{**PARAMS, "t": [10, 1, 10]})


@pytest.mark.on_the_cpu(NO_SHARING)
def test_two_processes_write_the_same_file_as_one(tmp_path):
    """41 images in chunks of 256 would all fall to the first process: smaller chunks make both work, for two rounds."""
    world = build(tmp_path, images=41)
    code = ("from pathlib import Path; from zeroshot.ranking import rank_images; "
            "from tests.test_rank_conse import rank; "
            f"rank_images.CHUNK = {{'cpu': 16}}; rank(Path({str(world)!r}), 2)")
    ended = run_as_two(code)
    assert [process.returncode for process in ended] == [0, 0], ended[0].stderr
    shared = (world / "conse" / "conse-2.safetensors").read_bytes()
    run(world, 2)
    assert (world / "conse" / "conse-2.safetensors").read_bytes() == shared
