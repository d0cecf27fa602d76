"""All that naming needs, as one folder that can be copied anywhere: see zeroshot/naming/folder.py for what is in it.

Copies the networks, the closed-form models and the label vectors as they are, and adds what lies elsewhere: label sets
with what is added to each label's score, WordNet's nouns and the order of their meanings, the language model's vectors
for labels of one's own, the figures, and a model card. The default model is the one with the best harmonic mean on seen
classes that played unseen (fit_closed_form, rank_conse); models without that figure have no handicap for seen labels,
and name next to nothing unseen beside them. Seconds; at true size (21,842 labels and 155,000 terms of 300 dimensions)
186 MB, of which the terms are 96.
"""

import csv
import importlib.metadata
import itertools
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from stages import run_stage
from zeroshot.base.artifacts import Artifact, why_not_made, write_artifact
from zeroshot.base.files import atomic_write
from zeroshot.base.params import StageParams, load_params
from zeroshot.console.errors import InputError
from zeroshot.images.index import INDEX_FILE, PIXELS_FILE
from zeroshot.labels.embedding import UnitVectors, embed, named_by_class, wanted_terms, with_hypernyms
from zeroshot.labels.label_sets import all_labels, in_order, memberships, read_label_sets
from zeroshot.labels.label_vectors import LabelVectors, read_label_vectors
from zeroshot.labels.retrofitting import NOT_RETROFITTED, retrofitting
from zeroshot.naming.card import Source, write_card
from zeroshot.naming.folder import write_manifest
from zeroshot.ranking.rankings import rankings_path
from zeroshot.taxonomy import Taxonomy, read_taxonomy, write_taxonomy
from zeroshot.terms.spelling import term_of
from zeroshot.terms.vectors import TermVectors, read_term_vectors

KINDS = ("lemmas", "hypernyms")  # of label vectors
CLOSED_FORM = ("ridge", "eszsl", "exemplars")
WITHOUT_FIGURE = ("hierse", *CLOSED_FORM[::-1], "conse-10", "conse-1", "devise", "softmax")  # else the first
DEFAULT_SETS = ("21k+seen", "unseen+seen", "seen")  # the first that holds labels
FIGURES = {("hit", "1"): "hit@1", ("hit", "5"): "hit@5", ("images", ""): "images", ("candidates", ""): "candidates"}
LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pillow")  # whose versions may matter
CHUNK = 4096  # terms at a time
GLOSS = 90  # characters of a noun's definition


class Params(StageParams):
    terms: int = pydantic.Field(ge=0)


class NetworkParams(StageParams, extra="ignore"):
    """extract_features': how the network is run."""

    tap: str
    batch: int
    precision: str
    channels_last: bool
    deterministic: bool
    threads: int
    any_processor: bool


class WeightsParams(StageParams, extra="ignore"):
    pretrained: str


class VectorsParams(StageParams, extra="ignore"):
    member: str


class Read(StageParams, extra="ignore"):
    times: int


class TextRead(Read, extra="ignore"):
    source: str


class TextParams(TextRead, extra="ignore"):
    also: TextRead
    glosses: int
    chains: Read


def main(params: Params, *, cnn: Path, devise: Path, closed_form: Path, hierse_classifiers: Path, label_vectors: Path,
         label_sets: Path, term_vectors: Path, taxonomy: Path, wordnet: Path, index: Path, rankings: Path, scores: Path,
         chosen: Path, chosen_hierse: Path, out: Path) -> None:
    sets, nouns, seals = read_label_sets(label_sets), read_taxonomy(taxonomy), {}
    vectors = {kind: read_label_vectors(label_vectors / f"{kind}.safetensors") for kind in KINDS}
    kinds = {labels.sha256: kind for kind, labels in vectors.items()}
    models = {"softmax": {"values": "logits"}} | dict(found_models(devise, closed_form, rankings, kinds))
    files = {"cnn": cnn, **{kind: label_vectors / f"{kind}.safetensors" for kind in KINDS},
             **({"devise": devise} if "devise" in models else {}),
             **({"hierse_classifiers": hierse_classifiers} if "classifiers" in models.get("hierse", {}) else {}),
             **{name: closed_form / f"{name}.safetensors" for name in CLOSED_FORM if name in models}}
    out.mkdir(parents=True, exist_ok=True)
    for name, path in files.items():
        seals[f"{name}.safetensors"] = Artifact(path).sha256
        shutil.copyfile(path, out / f"{name}.safetensors")
    wanted = wanted_terms(nouns)
    terms = read_term_vectors(term_vectors, some_more(wanted, params.terms),
                              load_params("embed_labels", VectorsParams).member)
    seals["labels.safetensors"] = write_labels(out / "labels.safetensors", sets, models, rankings)
    seals["terms.safetensors"] = write_terms(out / "terms.safetensors", terms, wanted, params.terms)
    write_taxonomy(out, shortened(nouns))
    write_senses(out / "senses.tsv", wordnet, nouns)
    seen = Artifact(cnn, verify=False).meta["wnids"]
    about = {
        "default": {**default_model(models, chosen, chosen_hierse),
                    "labels": next(name for name in DEFAULT_SETS if sets[name])},
        "models": models,
        "label_sets": {name: len(sets[name]) for name in in_order(sets) if sets[name]},
        "seen": seen,
        "network": {**load_params("extract_features", NetworkParams).model_dump(), "pack": pack_of(index),
                    "arch": Artifact(cnn, verify=False).meta["arch"]},
        "embedded": how_embedded(vectors, nouns, terms, seen),
        "figures": figures(scores, models),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "seals": seals}
    write_manifest(out, about)
    source = Source(Artifact(cnn, verify=False).meta["arch"], load_params("pretrain_cnn", WeightsParams).pretrained,
                    texts_of(term_vectors, load_params("prepare_corpus", TextParams)))
    write_card(out, about, source)
    size = sum(path.stat().st_size for path in out.iterdir())
    print(f"{out}: {len(models)} models, {len(all_labels(sets)):,} labels, {size / 1e6:.0f} MB; "
          f"default {about['default']['model']}: {about['default']['why']}")


def texts_of(term_vectors: Path, read: TextParams) -> list[str]:
    """What the term vectors were learnt from, as the card calls it, each once: all that prepare_corpus read."""
    if not term_vectors.is_dir():
        return ["file"]
    times = [(read.source, read.times), (read.also.source, read.also.times), ("wordnet", read.glosses),
             ("chains", read.chains.times)]
    return list(dict.fromkeys(kind for kind, count in times if count))


def found_models(devise: Path, closed_form: Path, rankings: Path, kinds: dict[str, str]
                 ) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each model that was trained besides softmax: its name and what naming must know of it.

    That is the kind of label vectors, what of the network's values it goes by, ConSE's settings, and whether labels lie
    elsewhere than at their vectors (`moved`).

    Args:
        kinds: label vectors' checksum -> their kind.
    """
    if (meta := meta_of(devise)) and "trunk" in meta:
        yield "devise", {"labels": kind_of(devise, meta["made_from"]["labels"], kinds),
                         "values": "features" if meta["trunk"] == "frozen" else "network", "moved": False}
    for path in [*sorted(rankings.glob("conse/*.safetensors"), key=lambda path: (len(path.stem), path.stem)),
                 rankings / "hierse.safetensors"]:
        if (meta := meta_of(path)) and "t" in meta.get("settings", {}):
            yield path.stem, {"labels": kind_of(path, meta["made_from"]["labels"], kinds), "values": "logits",
                              "moved": "classifiers" in meta["settings"], **meta["settings"]}
    for name in CLOSED_FORM:
        path = closed_form / f"{name}.safetensors"
        if (meta := meta_of(path)) and "seen_handicap" in meta:
            yield name, {"labels": kind_of(path, meta["labels"], kinds), "values": "features",
                         "moved": "anchors" in Artifact(path, verify=False)}


def meta_of(path: Path) -> dict[str, Any] | None:
    """What an artifact says of itself; None if there is none, as where a stage had nothing to do."""
    return None if not path.is_file() or why_not_made(path) else Artifact(path, verify=False).meta


def kind_of(path: Path, seal: str, kinds: dict[str, str]) -> str:
    if seal not in kinds:
        raise InputError(f"{path}: made for other label vectors than the ones given; `dvc repro`")
    return kinds[seal]


def write_labels(path: Path, sets: dict[str, list[str]], models: dict[str, dict], rankings: Path) -> str:
    """Which label is in which set, and what each model adds to its score; returns the checksum."""
    wnids, members = all_labels(sets), memberships(sets)
    arrays = {"member": np.stack([members[name] for name in in_order(sets)])}
    for name in models:
        ranked = rankings_path(rankings, name)
        if not (meta := meta_of(ranked)) or "wnids" not in meta:
            continue
        if meta["wnids"] != wnids:
            raise InputError(f"{ranked}: made for other label sets than data/label_sets holds; `dvc repro`")
        if "bias" in (artifact := Artifact(ranked, verify=False)):
            arrays[f"bias.{name}"] = artifact["bias"]
    write_artifact(path, {"wnids": wnids, "sets": in_order(sets)}, arrays)
    return Artifact(path, verify=False).sha256


def some_more(nouns: set[str], most: int) -> Callable[[str], bool]:
    """Asked of a file's terms one by one: these nouns, and of the others the first `most`, which bounds the memory."""
    others = itertools.count()
    return lambda name: term_of(name) in nouns or next(others) < most


def write_terms(path: Path, terms: TermVectors, nouns: set[str], most: int) -> str:
    """The vectors of at most so many terms, half precision, unit length; returns the checksum.

    Args:
        nouns: terms that go before all others, which follow in the file's order, the most frequent first.
    """
    known = UnitVectors(terms)
    names = sorted(known.known(), key=lambda name: name not in nouns)[:most]  # stable
    vectors = np.zeros((len(names), known.dim), np.float16)
    for start in range(0, len(names), CHUNK):
        vectors[start:start + CHUNK] = known.of(names[start:start + CHUNK])
    write_artifact(path, {"terms": names}, {"vectors": vectors})
    return Artifact(path, verify=False).sha256


def shortened(nouns: Taxonomy) -> Taxonomy:
    """The same with the beginnings of its definitions."""
    def cut(text: str) -> str:
        return text if len(text) <= GLOSS else text[:GLOSS].rsplit(" ", 1)[0] + " ..."

    return Taxonomy(nouns.wnids, nouns.lemmas, [cut(text) for text in nouns.definitions], nouns.kinds, nouns.instances)


def write_senses(path: Path, wordnet: Path, nouns: Taxonomy) -> None:
    """The synsets of each noun, one line per term, sorted; in WordNet's order, which is that of their frequency."""
    senses: dict[str, str] = {}
    entries = [(term_of(lemma), lemma, wnids) for lemma, wnids in index_of(wordnet)]
    for term, _, wnids in sorted(entries, key=lambda entry: entry[0] != entry[1]):  # those spelt as ours first
        senses[term] = f"{senses[term]} {wnids}" if term in senses else wnids
    with atomic_write(path) as file:
        for term, wnids in sorted(senses.items()):
            known = [wnid for wnid in dict.fromkeys(wnids.split()) if wnid in nouns.index]
            file.write(f"{term}\t{' '.join(known)}\n" if term and known else "")


def index_of(wordnet: Path) -> Iterator[tuple[str, str]]:
    """(lemma, its noun synsets in order, spaces between) of WordNet's index.noun.

    There (wndb(5WN)) the third field is their number, and their offsets stand last.
    """
    try:
        with zipfile.ZipFile(wordnet) as archive:
            lines = archive.read("index.noun").decode().splitlines()
    except (OSError, KeyError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise InputError(f"{wordnet}: has no readable index.noun ({type(error).__name__}); delete it and `dvc repro "
                         "fetch_wordnet`") from None
    for line in lines:
        if not line.startswith(" "):  # the licence
            fields = line.split()
            yield fields[0], " ".join(f"n{offset}" for offset in fields[-int(fields[2]):])


def default_model(models: dict[str, dict], chosen: Path, chosen_hierse: Path) -> dict[str, str]:
    """The model with the best harmonic mean where seen classes played unseen, and why it is that one."""
    figures = {name: about["held_out_harmonic"] for path in (chosen, chosen_hierse) if path.is_file()
               for name, about in json.loads(path.read_text()).items()
               if name in models and isinstance(about, dict) and "held_out_harmonic" in about}
    if not figures:
        return {"model": next(name for name in (*WITHOUT_FIGURE, *models) if name in models),
                "why": "no model was tried on seen classes that play unseen; the first there is of HierSE, exemplars, "
                       "ESZSL, ridge, ConSE(10), ConSE(1), DeViSE, softmax"}
    ranked = sorted(figures, key=lambda name: -figures[name])
    others = ", ".join(f"{name} {100 * figures[name]:.1f}" for name in ranked[1:])
    return {"model": ranked[0], "why": f"best harmonic mean on seen classes that played unseen, "
                                       f"{100 * figures[ranked[0]]:.1f} %" + (f" ({others})" if others else "")}


def pack_of(index: Path) -> int | None:
    """The side of the squares to which every image was decoded once; None: images are read in place."""
    if Artifact(index / INDEX_FILE, verify=False).meta["pixels"] is None:
        return None
    return Artifact(index / PIXELS_FILE, verify=False).shape("pixels")[1]


def how_embedded(vectors: dict[str, LabelVectors], nouns: Taxonomy, terms: TermVectors, seen: list[str]
                 ) -> dict[str, Any]:
    """What embed_labels did, for labels that it did not see: its settings, and the means that it subtracted."""
    meta = vectors["hypernyms"].meta
    how = {name: meta[name] for name in ("synonyms", "fallback", "hypernyms")}
    how |= {name: meta[name] for name in ("retrofit", "by_class") if name in meta}
    if not meta["center"]:
        return {**how, "means": {}}
    nouns = named_by_class(nouns) if "by_class" in how else nouns
    unit = UnitVectors(terms, wanted_terms(nouns))
    draw = retrofitting(nouns, unit, how["synonyms"], **how.get("retrofit", NOT_RETROFITTED))
    labels = [draw(wnid, embed(nouns, unit, wnid, how["synonyms"], how["fallback"])) for wnid in seen]
    lifted = with_hypernyms(nouns, unit, seen, labels, how["synonyms"], how["hypernyms"], draw)
    return {**how, "means": {kind: np.mean([label.vectors[0] for label in some if len(label.vectors)], axis=0).tolist()
                             for kind, some in zip(KINDS, (labels, lifted), strict=True)}}


def figures(scores: Path, models: dict[str, dict]) -> dict[str, dict[str, dict[str, float]]]:
    """Label set -> model -> FIGURES, as far as they were evaluated."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in models:
        if (path := scores / f"{name}.csv").is_file():
            with open(path, encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    if figure := FIGURES.get((row.get("metric"), row.get("k"))):  # none where nothing was measured
                        of_set = found.setdefault(row["label_set"], {}).setdefault(name, {})
                        of_set[figure] = float(row["value"]) if figure.startswith("hit") else int(row["value"])
    return {name: found[name] for name in in_order(found)}


if __name__ == "__main__":
    run_stage(main)
