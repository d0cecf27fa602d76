"""Rankings -> which unseen classes no model ever names right among its first 20 labels, and why.

Reads data/rankings of all models but the softmax baseline and the random embedding, the CNN's logits, the label vectors
and the taxonomy; writes failures.md and failures.csv. Each class gets one reason, the first that holds of these:

  no vector        the label has none, so it is no candidate;
  another sense    none of its nearest labels is near it in WordNet, but one is near a noun of the same name (crane);
  no near vector   none of its nearest labels is near it in WordNet;
  swallowed        where seen labels are candidates too, most first answers are one and the same seen class;
  CNN at a loss    the softmax is spread (entropy above half of the greatest), or the likeliest seen class is near in
                   WordNet for less than half of the images;
  none of these    the label's place and the image's are sound, but they do not meet.

"Near" is `hops` WordNet edges at most, any way. Under a minute for all of ImageNet.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pydantic
import scipy.sparse
from jaxtyping import Bool, Float32, Float64, Int64

from stages import run_stage
from zeroshot.base.artifacts import Artifact, why_not_made
from zeroshot.base.files import atomic_write
from zeroshot.base.params import StageParams
from zeroshot.console.progress import progress
from zeroshot.evaluation.model_names import display_name
from zeroshot.labels.asked_sets import ZeroShotSet, refuse_unmade
from zeroshot.labels.label_sets import PLUS_SEEN, read_label_sets
from zeroshot.labels.label_vectors import LabelVectors, read_label_vectors
from zeroshot.ranking.rankings import TOP, Rankings
from zeroshot.taxonomy import Taxonomy, read_taxonomy

LEFT_OUT = {"softmax", "random"}  # they cannot name an unseen class, but by chance
REASONS = {
    "no vector": "the label has none",
    "another sense": "its nearest labels are far from it, one is near another noun of its name",
    "no near vector": "its nearest labels are far from it",
    "swallowed": "most first answers are one seen class, where seen classes are candidates",
    "CNN at a loss": "the softmax is spread, or its likeliest class is mostly far",
    "none of these": "",
}
OF_VECTORS = 3  # the first reasons, which better label vectors could mend
SPREAD = 0.5  # of the entropy that all outputs alike would have
SHOWN = 10  # classes of each reason in failures.md; failures.csv has all
CHUNK = 512  # classes at a time


class Params(StageParams):
    label_set: ZeroShotSet
    neighbours: int = pydantic.Field(ge=1)
    hops: int = pydantic.Field(ge=1)


class Asked(NamedTuple):
    """What all models together did on a label set.

    Attributes:
        models: which.
        images: int64 [labels], test images of each label.
        best: int64 [labels], the best rank of any model on any image; TOP + 1 if none is among the first TOP.
        answers: int64 [labels, labels], how often a label's images were first answered by a label, of set + seen.
    """

    models: list[str]
    images: Int64[np.ndarray, "labels"]
    best: Int64[np.ndarray, "labels"]
    answers: scipy.sparse.csr_matrix


def main(params: Params, *, rankings: Path, features: Path, label_vectors: Path, taxonomy: Path, label_sets: Path,
         out: Path) -> None:
    sets, nouns, labels = read_label_sets(label_sets), read_taxonomy(taxonomy), read_label_vectors(label_vectors)
    refuse_unmade(params.label_set, sets, "explain_failures.label_set")
    ranked = [model for model in read_models(rankings, sets) if params.label_set in model.names]
    asked = asked_of(ranked, params.label_set, len(labels.wnids))
    failed = np.flatnonzero((asked.images > 0) & (asked.best > TOP))
    images = logits_of(ranked, params.label_set, failed, Artifact(features / "logits.safetensors"))
    table = explained(failed, asked, images, labels, nouns, set(sets["seen"]), params)
    with atomic_write(out / "failures.csv") as file:
        table.to_csv(file, index=False, lineterminator="\n", float_format="%.4f")
    with atomic_write(out / "failures.md") as file:
        file.write(report(table, asked, params))


def read_models(folder: Path, label_sets: Mapping[str, list[str]]) -> list[Rankings]:
    """All rankings in `folder` and the folders in it but LEFT_OUT's, by name; of models that were made."""
    paths = sorted(path for path in folder.rglob("*.safetensors")
                   if path.stem not in LEFT_OUT and not why_not_made(path))
    return [Rankings(path, label_sets) for path in paths]


def asked_of(ranked: list[Rankings], name: str, labels: int) -> Asked:
    """What these models did on the label set `name`."""
    images, best = np.zeros(labels, np.int64), np.full(labels, TOP + 1)
    answers = scipy.sparse.csr_matrix((labels, labels), dtype=np.int64)
    for number, model in enumerate(progress(ranked, unit="models", desc="reading rankings")):
        for true, rank in model.chunks(f"{name}/true", f"{name}/rank"):
            np.minimum.at(best, true, np.where(rank > 0, rank, TOP + 1))
            images += np.bincount(true, minlength=labels) * (number == 0)
        if name + PLUS_SEEN in model.names:
            for true, top in model.chunks(f"{name}{PLUS_SEEN}/true", f"{name}{PLUS_SEEN}/top"):
                pairs = (np.ones(len(true), np.int64), (true, top[:, 0]))
                answers += scipy.sparse.coo_matrix(pairs, (labels, labels)).tocsr()
    return Asked([model.model for model in ranked], images, best, answers)


def logits_of(ranked: list[Rankings], name: str, failed: Int64[np.ndarray, "classes"], logits: Artifact
              ) -> Iterator[tuple[np.ndarray, np.ndarray, list[str]]]:
    """Chunks of the images of these classes: place in `failed`, logits [images, outputs]; and the outputs' wnids."""
    known = logits.memmap("row")
    for row, true in ranked[0].chunks(f"{name}/row", f"{name}/true") if ranked else ():
        place = np.searchsorted(failed, true).clip(max=max(len(failed) - 1, 0))
        here = failed[place] == true if len(failed) else np.zeros(len(true), bool)
        at = np.searchsorted(known, row[here])
        for start in range(0, len(at), CHUNK):
            some = slice(start, start + CHUNK)
            yield place[here][some], np.asarray(logits.memmap("logits")[at[some]], np.float32), logits.meta["wnids"]


def explained(failed: Int64[np.ndarray, "classes"], asked: Asked, images: Iterator, labels: LabelVectors,
              nouns: Taxonomy, seen: set[str], params: Params) -> pd.DataFrame:
    """A row per class: what was found about it, and the reason."""
    wnids = [labels.wnids[label] for label in failed]
    nearest, near, near_sense = neighbours_of(wnids, labels, nouns, params)
    answer, share = first_answers(asked.answers[failed])
    spread, likeliest, near_cnn = softmax_of(images, wnids, nouns, params.hops)
    of_seen = np.array([wnid in seen for wnid in labels.wnids], bool)
    tests = [~labels.has_vector[failed], ~near & near_sense, ~near, (share > 0.5) & of_seen[answer],
             (spread > SPREAD) | (near_cnn < 0.5), np.ones(len(failed), bool)]
    reason = np.array(list(REASONS))[np.argmax(np.stack(tests), axis=0)]
    first = [labels.wnids[label] if times else "" for label, times in zip(answer, share, strict=True)]
    return pd.DataFrame({
        "wnid": wnids, "name": [*map(nouns.name, wnids)], "images": asked.images[failed], "reason": reason,
        "nearest_label": [*map(nouns.name, nearest)], "nearest_wnid": nearest,
        "first_answer": [*map(nouns.name, first)], "first_answer_wnid": first, "first_answer_share": share,
        "likeliest_seen": [*map(nouns.name, likeliest)], "likeliest_wnid": likeliest, "likeliest_near": near_cnn,
        "entropy": spread})


def neighbours_of(wnids: list[str], labels: LabelVectors, nouns: Taxonomy, params: Params
                  ) -> tuple[list[str], Bool[np.ndarray, "classes"], Bool[np.ndarray, "classes"]]:
    """Each class's nearest label; whether any of its nearest ones is near in WordNet, or near a noun of its name.

    Nearest: other labels by cosine, of all that have a vector. A class without a vector has none.
    """
    others = [wnid for wnid, has in zip(labels.wnids, labels.has_vector, strict=True) if has and wnid in nouns.index]
    vectors, rows = labels.of(others)[0], nouns.rows(others)
    own, has = labels.of(wnids)
    nearest, found = [""] * len(wnids), {"own": np.zeros(len(wnids), bool), "sense": np.zeros(len(wnids), bool)}
    senses = namesakes(nouns, wnids)
    for start in range(0, len(wnids) if len(others) > 1 else 0, CHUNK):
        places = start + np.flatnonzero(has[start:start + CHUNK])
        best = nearest_rows(own[places], vectors, [wnids[place] for place in places], others, params.neighbours)
        for kind, sources in (("own", [[nouns.index[wnids[place]]] if wnids[place] in nouns.index else []
                                       for place in places]), ("sense", [senses[place] for place in places])):
            reached = within(nouns, sources, params.hops)
            found[kind][places] = np.asarray(reached[np.arange(len(places))[:, None], rows[best]].todense()).any(1)
        for place, row in zip(places, best[:, 0] if len(places) else (), strict=True):
            nearest[place] = others[row]
    return nearest, found["own"], found["sense"]


def nearest_rows(own: Float32[np.ndarray, "some dim"], vectors: Float32[np.ndarray, "others dim"], wnids: list[str],
                 others: list[str], neighbours: int) -> Int64[np.ndarray, "some neighbours"]:
    """Rows of `vectors` with the greatest cosine, best first, without the class's own."""
    cosines = own @ vectors.T
    row_of = {wnid: row for row, wnid in enumerate(others)}
    for place, wnid in enumerate(wnids):
        if wnid in row_of:
            cosines[place, row_of[wnid]] = -np.inf
    count = min(neighbours, len(others) - 1)
    best = np.sort(np.argpartition(-cosines, count - 1, axis=1)[:, :count], axis=1)
    order = np.argsort(-np.take_along_axis(cosines, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)


def namesakes(nouns: Taxonomy, wnids: list[str]) -> list[list[int]]:
    """Rows of the other nouns that share a lemma with each noun, capital letters apart."""
    wanted = {lemma.lower() for wnid in wnids if wnid in nouns.index for lemma in nouns.lemmas[nouns.index[wnid]]}
    rows: dict[str, list[int]] = {lemma: [] for lemma in wanted}
    for row, lemmas in enumerate(nouns.lemmas):
        for lemma in {lemma.lower() for lemma in lemmas} & wanted:
            rows[lemma].append(row)
    return [sorted({row for lemma in nouns.lemmas[nouns.index[wnid]] for row in rows[lemma.lower()]}
                   - {nouns.index[wnid]}) if wnid in nouns.index else [] for wnid in wnids]


def within(nouns: Taxonomy, sources: list[list[int]], hops: int) -> scipy.sparse.csr_matrix:
    """Boolean [sources, nouns]: at most `hops` edges from any of a source's nouns."""
    graph = nouns.graph()
    step = graph + scipy.sparse.identity(graph.shape[0], bool, "csr")
    starts = [(place, row) for place, rows in enumerate(sources) for row in rows]
    places, rows = np.array(starts, np.int64).reshape(-1, 2).T
    shape = (len(sources), graph.shape[0])
    reached = scipy.sparse.coo_matrix((np.ones(len(starts), bool), (places, rows)), shape).tocsr()
    for _ in range(hops):
        reached = reached @ step
    return reached


def first_answers(answers: scipy.sparse.csr_matrix) -> tuple[Int64[np.ndarray, "classes"], Float64[np.ndarray, "some"]]:
    """The most frequent first answer of each class (of equals the first label), and its share; 0 and 0 without any."""
    most = answers.max(axis=1).toarray()[:, 0] if answers.shape[0] else np.zeros(0, np.int64)
    total = np.asarray(answers.sum(axis=1)).reshape(-1)
    best = np.asarray(answers.argmax(axis=1)).reshape(-1) if answers.shape[0] else np.zeros(0, np.int64)
    return best, most / np.maximum(total, 1)


def softmax_of(images: Iterator, wnids: list[str], nouns: Taxonomy, hops: int
               ) -> tuple[Float64[np.ndarray, "classes"], list[str], Float64[np.ndarray, "classes"]]:
    """Of each class's images: mean entropy of the softmax (1: all outputs alike), the seen class that is most often the
    likeliest, and the share of images whose likeliest is near in WordNet."""
    count, spread, near = (np.zeros(len(wnids)) for _ in range(3))
    likeliest: list[Counter] = [Counter() for _ in wnids]
    reached = within(nouns, [[nouns.index[wnid]] if wnid in nouns.index else [] for wnid in wnids], hops)
    for place, logits, outputs in progress(images, unit="chunks", desc="softmax of failures"):
        rows = np.array([nouns.index.get(wnid, -1) for wnid in outputs])
        chance = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
        chance /= chance.sum(axis=1, keepdims=True)
        np.add.at(count, place, 1)
        np.add.at(spread, place, entropy(chance))
        first = chance.argmax(axis=1)
        known = rows[first] >= 0
        np.add.at(near, place[known], np.asarray(reached[place[known], rows[first][known]]).reshape(-1))
        for row, output in zip(place.tolist(), first.tolist(), strict=True):
            likeliest[row][outputs[output]] += 1
    tested = np.maximum(count, 1)
    return spread / tested, [min(some, key=lambda wnid, some=some: (-some[wnid], wnid)) if some else ""
                             for some in likeliest], near / tested


def entropy(chance: Float64[np.ndarray, "images outputs"]) -> Float64[np.ndarray, "images"]:
    """Of each row, as a share of the greatest."""
    bits = -(chance * np.log(np.where(chance > 0, chance, 1))).sum(axis=1)
    return bits / max(np.log(chance.shape[1]), np.finfo(float).tiny)


def report(table: pd.DataFrame, asked: Asked, params: Params) -> str:
    """The counts, then some classes of each reason, in Markdown."""
    tested, failed = int((asked.images > 0).sum()), len(table)
    models = ", ".join(map(display_name, asked.models)) or "none"
    counts = table["reason"].value_counts()
    mendable = int(sum(counts.get(reason, 0) for reason in list(REASONS)[:OF_VECTORS]))
    lines = ["# What fails", "",
             f"Of {tested:,} classes tested in `{params.label_set}`, never named right among the first {TOP} labels by "
             f"any model ({models}): {failed:,}.", "",
             f"Each has one reason, the first that holds. Near: at most {params.hops} WordNet edges; nearest labels: "
             f"{params.neighbours}. Better label vectors could mend the first three: {mendable:,} classes.", "",
             "| reason | classes | what was found |", "|---|--:|---|"]
    lines += [f"| {reason} | {counts.get(reason, 0):,} | {found} |" for reason, found in REASONS.items()]
    for reason in REASONS:
        some = table[table["reason"] == reason].sort_values(["images", "wnid"], ascending=[False, True])[:SHOWN]
        lines += examples(reason, some) if len(some) else []
    return "\n".join(lines) + "\n"


def examples(reason: str, table: pd.DataFrame) -> list[str]:
    lines = ["", f"## {reason[0].upper()}{reason[1:]}", "",
             "| class | images | nearest label | most frequent first answer | likeliest seen class |",
             "|---|--:|---|---|---|"]
    for row in table.itertuples(index=False):
        nearest, answer, likeliest = (
            name_told(row.name, name, wnid) for name, wnid in ((row.nearest_label, row.nearest_wnid), (
                row.first_answer, row.first_answer_wnid), (row.likeliest_seen, row.likeliest_wnid)))
        share = f" ({row.first_answer_share:.0%})" if row.first_answer else ""
        lines.append(f"| {row.name} ({row.wnid}) | {row.images:,} | {nearest} | {answer}{share} | {likeliest} |")
    return lines


def name_told(own: str, name: str, wnid: str) -> str:
    """Another label by name, a dash if there is none; a namesake of the class by wnid too, else it passes for it."""
    return f"{name} ({wnid})" if name and name.lower() == own.lower() else name or "–"


if __name__ == "__main__":
    run_stage(main)
