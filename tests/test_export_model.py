import json
import shutil

import numpy as np
import pytest
import torch

import zeroshot
from stages.export_model import TextParams, default_model, how_embedded, texts_of, write_senses
from tests.model_world import HANDICAP, NOUNS, SEEN, SETS, TERMS, TEXT, WNID, build_parts, export, picture
from zeroshot.base.artifacts import Artifact, write_artifact, write_not_made
from zeroshot.base.files import sha256_of
from zeroshot.console.errors import InputError
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.naming.card import TEXTS, Source, write_card
from zeroshot.naming.folder import ModelFolder
from zeroshot.taxonomy import read_taxonomy
from zeroshot.terms.vectors import read_term_vectors


def files_of(folder):
    return {path.name: sha256_of(path) for path in folder.iterdir()}


def test_the_folder_holds_what_naming_needs_and_the_same_bits_each_time(model_parts, model_folder, tmp_path):
    assert sorted(path.name for path in model_folder.iterdir()) == sorted([
        "README.md", "model.json", "cnn.safetensors", "devise.safetensors", "ridge.safetensors",
        "exemplars.safetensors", "lemmas.safetensors", "hypernyms.safetensors", "labels.safetensors",
        "terms.safetensors", "nouns.tsv", "senses.tsv"])
    assert files_of(export(model_parts, tmp_path / "again")) == files_of(model_folder)
    about = ModelFolder(model_folder).about
    assert about["models"] == {
        "softmax": {"values": "logits"}, "devise": {"labels": "lemmas", "values": "features", "moved": False},
        "conse-2": {"labels": "lemmas", "values": "logits", "moved": False, "t": 2},
        "hierse": {"labels": "hypernyms", "values": "logits", "moved": False, "t": 2, "temperature": 3.0},
        "ridge": {"labels": "hypernyms", "values": "features", "moved": False},
        "exemplars": {"labels": "hypernyms", "values": "features", "moved": True}}
    assert about["label_sets"] == {"seen": 3, "unseen": 2, "2-hops": 1, "21k": 8, "unseen+seen": 5, "2-hops+seen": 4,
                                   "3-hops+seen": 3, "21k+seen": 11}
    assert about["figures"] == {"21k": {"hierse": {"hit@1": 0.25, "hit@5": 0.5, "images": 40, "candidates": 8}}}
    assert about["seen"] == SEEN and about["network"]["pack"] is None


def test_labels_hold_members_and_what_is_added(model_folder):
    labels = Artifact(model_folder / "labels.safetensors")
    wnids, member = np.array(labels.meta["wnids"]), labels["member"]
    for name, of_set in SETS.items():
        assert wnids[member[labels.meta["sets"].index(name)]].tolist() == sorted(of_set)
    assert "bias.conse-2" not in labels
    assert labels["bias.hierse"].tolist() == [np.float32(-HANDICAP) if wnid in SEEN else 0 for wnid in wnids]


def test_terms_of_nouns_go_first_and_are_unit_length(model_parts, tmp_path):
    whole = export(model_parts, tmp_path / "whole")
    terms = Artifact(whole / "terms.safetensors")
    nouns = {word for name in NOUNS for word in name.split()[:1]}
    assert terms.meta["terms"] == [term for term in TERMS if term in nouns] + ["striped", "red"]
    given = read_term_vectors(model_parts / "terms")
    unit = given.vectors / np.linalg.norm(given.vectors, axis=1, keepdims=True)
    for name, vector in zip(terms.meta["terms"], terms["vectors"], strict=True):
        assert np.allclose(vector, unit[given.terms.index(name)], atol=1e-3)
    few = Artifact(export(model_parts, tmp_path / "few", terms=3) / "terms.safetensors")
    assert few.meta["terms"] == ["animal", "dog", "cat"] and few["vectors"].dtype == np.float16


def test_senses_keep_wordnets_order(model_parts, model_folder, tmp_path):
    lines = (model_folder / "senses.tsv").read_text().splitlines()
    assert f"crane\t{WNID['crane machine']} {WNID['crane bird']}" in lines and lines == sorted(lines)
    (tmp_path / "no.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="no readable index.noun"):
        write_senses(tmp_path / "senses.tsv", tmp_path / "no.zip", read_taxonomy(model_parts / "taxonomy"))


def test_the_best_on_seen_classes_that_play_unseen_is_the_default(model_folder, tmp_path):
    model = zeroshot.load_model(model_folder)
    assert model.default_model == "hierse" and model.models[0] == "hierse" and model.default_labels == "21k+seen"
    assert "40.0 % (ridge 30.0)" in model.why_default
    (tmp_path / "none.json").write_text(json.dumps({"hierse": {"seen_handicap": 0.0}}))
    chosen = default_model({"softmax": {}, "conse-10": {}}, tmp_path / "missing.json", tmp_path / "none.json")
    assert chosen["model"] == "conse-10" and "no model was tried" in chosen["why"]


def test_the_means_of_centred_vectors_are_those_of_the_seen_labels(model_parts):
    labels = read_label_vectors(model_parts / "lemmas.safetensors")
    labels.meta["center"] = True
    terms = read_term_vectors(model_parts / "terms")
    how = how_embedded({"hypernyms": labels}, read_taxonomy(model_parts / "taxonomy"), terms, SEEN)
    rows = [terms.vectors[terms.terms.index(name)] for name in ("cat", "husky", "car")]
    assert np.allclose(how["means"]["lemmas"], np.mean([row / np.linalg.norm(row) for row in rows], axis=0), atol=1e-6)
    assert len(how["means"]["hypernyms"]) == 6


def test_the_card_says_whose_it_is_and_how_good(model_folder):
    card = (model_folder / "README.md").read_text()
    assert "| 21k | 40 | 8 | hierse | 25.0 | 50.0 |" in card and "WordNet licence" in card
    assert "hierse" in card and "## Limits" in card and str(model_folder) not in card


@pytest.mark.parametrize(("read", "texts"), [
    ({}, ["wordnet"]), ({"source": "mediawiki", "glosses": 2}, ["mediawiki", "wordnet"]), ({"glosses": 1}, ["wordnet"]),
    ({"also": {"source": "wikiextractor", "times": 3}}, ["wordnet", "wikiextractor"]),
    ({"source": "plain", "times": 0, "chains": {"times": 1}}, ["chains"])])
def test_the_card_names_every_text_that_was_read_and_no_other(tmp_path, read, texts):
    assert texts_of(tmp_path, TextParams(**{**TEXT, **read})) == texts
    assert set(texts) <= set(TEXTS)


def test_of_vectors_from_a_users_file_the_card_tells_no_text_of_ours(model_folder, tmp_path):
    (tmp_path / "glove.txt").touch()
    assert texts_of(tmp_path / "glove.txt", TextParams(**TEXT)) == ["file"]
    about = json.loads((model_folder / "model.json").read_text())
    write_card(tmp_path, about, Source("resnet8", "none", ["file", "chains"]))
    lines = [line for line in (tmp_path / "README.md").read_text().splitlines() if line.startswith("- text: ")]
    assert lines == [f"- text: {TEXTS['file']}", f"- text: {TEXTS['chains']}"]


def test_alone_in_another_place_it_names(model_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_folder, tmp_path / "elsewhere")
    (named,) = zeroshot.load_model("elsewhere").name(picture(1))
    assert len(named.answers["hierse"]) == 5


def test_whatever_was_not_trained_is_left_out(tmp_path):
    parts = build_parts(tmp_path)
    for path in (parts / "devise.safetensors", *(parts / "closed_form").iterdir(),
                 parts / "rankings" / "ridge.safetensors"):
        write_not_made(path, "no training images")
    (parts / "rankings" / "hierse.safetensors").unlink()
    model = zeroshot.load_model(export(parts, tmp_path / "model"))
    assert model.models == ["softmax", "conse-2"] or model.models == ["conse-2", "softmax"]
    assert not (tmp_path / "model" / "devise.safetensors").exists()
    assert model.name(picture(1), models="conse-2")[0].answers["conse-2"]


def test_a_run_that_does_not_fit_together_is_refused(tmp_path):
    parts = build_parts(tmp_path)
    ranked = Artifact(parts / "rankings" / "hierse.safetensors")
    write_artifact(ranked.path, {**ranked.meta, "wnids": ["n00000001"]}, {"bias": ranked["bias"]})
    with pytest.raises(InputError, match="other label sets"):
        export(parts, tmp_path / "model")
    write_artifact(ranked.path, {**ranked.meta, "made_from": {"labels": "other"}}, {"bias": ranked["bias"]})
    with pytest.raises(InputError, match="other label vectors"):
        export(parts, tmp_path / "model")


FAULTS = {
    "missing": (lambda folder: (folder / "lemmas.safetensors").unlink(), "lemmas.safetensors: is missing.*copy"),
    "cut": (lambda folder: (folder / "cnn.safetensors").write_bytes((folder / "cnn.safetensors").read_bytes()[:-9]),
            "cnn.safetensors: .*half copied"),
    "flipped": (lambda folder: flip(folder / "cnn.safetensors"), "cnn.safetensors: damaged.*copy the whole folder"),
    "text": (lambda folder: flip(folder / "nouns.tsv"), "nouns.tsv: damaged.*copy"),
    "manifest": (lambda folder: flip(folder / "model.json"), "model.json: damaged"),
    "half a manifest": (lambda folder: (folder / "model.json").write_text('{"format": 1'), "model.json: damaged"),
    "no manifest": (lambda folder: (folder / "model.json").unlink(), "holds no model.json"),
    "nothing": (lambda folder: shutil.rmtree(folder), "no such folder"),
    "version": (lambda folder: (folder / "model.json").write_text('{"sha256": "", "format": 2}'),
                "version '2'.*reads version 1"),
}


def flip(path):
    content = bytearray(path.read_bytes())
    content[-len(content) // 3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_folder_is_refused_in_one_line(model_folder, tmp_path, fault):
    spoil, said = FAULTS[fault]
    shutil.copytree(model_folder, tmp_path / "model")
    spoil(tmp_path / "model")
    with pytest.raises(InputError, match=said) as refusal:
        zeroshot.load_model(tmp_path / "model").name(picture(1))
    assert "\n" not in str(refusal.value)


def test_a_file_of_another_model_is_refused(model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "model")
    ridge = Artifact(model_folder / "ridge.safetensors")
    write_artifact(tmp_path / "model" / "ridge.safetensors", ridge.meta,
                   {name: -ridge[name] for name in ridge.names()})
    with pytest.raises(InputError, match="of another model"):
        zeroshot.load_model(tmp_path / "model").name(picture(1), models="ridge")


def test_a_finetuned_network_answers_by_its_own_points(tmp_path):
    parts = build_parts(tmp_path, frozen=False)
    frozen = zeroshot.load_model(export(build_parts(tmp_path / "frozen"), tmp_path / "a"))
    tuned = zeroshot.load_model(export(parts, tmp_path / "b"))
    assert tuned.folder.about["models"]["devise"]["values"] == "network"
    images = [picture(seed) for seed in range(3)]
    points = tuned.embed(images, "devise")  # the same weights, but features are not rounded to half precision
    assert np.allclose(points, frozen.embed(images, "devise"), atol=1e-3)
    assert torch.allclose(torch.from_numpy(points).norm(dim=1), torch.ones(3), atol=1e-5)
    both = tuned.name(images, models="devise,hierse")
    assert [list(one.answers) for one in both] == [["devise", "hierse"]] * 3
