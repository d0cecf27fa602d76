"""What a run costs in disk, time and memory: a few measured rates, multiplied. An estimate, with its basis."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dvc.config import Config

from stages.prepare_corpus import MAX_DISTINCT
from zeroshot.base.compute import pick_device

LABELS, LABEL_SETS, PLUS_SEEN_SETS = 21_841, 9, 4  # candidates of 21k+seen; label sets, and those of them with "+seen"
MODELS = 7  # that are ranked, besides ConSE's
RANKED = 20_000 / 2.5  # images/s of one model: 500-D, 21,841 labels, 2 CPU cores, chunked product and top 20
SCORED = 1e6 / 1.7  # rankings/s of one core, scored against one label set
SKIPGRAM_WORDS = 60_000  # words/s of one core at 500-D and window 20; hardly more at smaller sizes
TOGETHER = 0.75  # of that each of several workers keeps, since they bring together what they learn
SECOND_PASS = 1.25  # time of all of prepare_corpus by that of its first pass, which is measured; on WikiExtractor text
DRAWN = 3_000  # images/s of one core that the demo's renderer draws
HEADERS = 40_000  # images/s of one core whose headers are checked
HASHED = 300e6  # bytes/s that DVC reads of images and text to know their hash
PRODUCTS = 50e9  # operations/s of one core in matrix products, single precision
EIGEN = 18  # operations n^3 of an eigendecomposition in double precision, at that rate
INDEX_BYTES = 60  # of an image's row: label, place, name
RANKING_BYTES = 96  # of an image in one label set: row, true label, rank, first 20
WORDNET_BYTES = 50e6  # data/wordnet.zip, data/taxonomy, data/label_sets
DECODER_BYTES = 300e6  # memory of one decoding process
READER_BYTES = 150e6  # memory of one process that reads text
STAGE_BYTES = 400e6  # memory of any stage, before its data
LISTED_BYTES, INDEXED_BYTES = 200, 32  # memory of an image while it is listed; of a row while an index is in use
TERM_BYTES = 100  # memory of a distinct term while terms are counted
HEAPS = 22.4, 0.56  # a text of n words has 22.4 n^0.56 distinct ones: Heaps' law, fitted to 2 M to 33 M of Wikipedia


class Text(NamedTuple):
    """The text, scaled up from a sample.

    Attributes:
        words: of the articles that are long enough, as often as they are read.
        sentences, encoded: bytes of data/corpus, and of the file that prepare_corpus removes before it ends.
        seconds: of the first pass on one core.
        bytes: of the files.
    """

    words: int
    sentences: int
    encoded: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Found:
    """The data, as measured or scaled up from a sample.

    Attributes:
        classes, images: by role (train, val, unseen); classes also of `seen`, by list or with training images.
        listed, decoded: images/s of one core, for listing and for decoding at the wanted size.
        bytes: of the image files.
    """

    classes: Mapping[str, int]
    images: Mapping[str, int]
    listed: float
    decoded: float
    bytes: int
    text: Text

    @property
    def test(self) -> int:
        """Images that every model is tested on."""
        return self.images["val"] + self.images["unseen"]

    @property
    def fits_closed_form(self) -> bool:
        """Whether there are images to fit the closed-form models to, and to choose their settings by."""
        return bool(self.images["train"] and self.images["val"])

    @property
    def total(self) -> int:
        return sum(self.images.values())


@dataclass(frozen=True)
class Training:
    """A CNN's measured steps: images/s without loading, length of v(image), number of weights, bytes of memory."""

    rate: float
    width: int
    weights: int
    memory: int


Params = Mapping[str, Mapping]


def models_of(params: Params) -> int:
    """How many models are ranked and evaluated."""
    return MODELS + len(params["rank_conse"]["t"])


def disk_bytes(params: Params, found: Found, training: Training) -> dict[str, float]:
    """Bytes that a run needs, by what they are: outs, their second copies, checkpoints."""
    outs, temporary = outs_bytes(params, found, training), temporary_bytes(params, found)
    cached = sum(outs.values()) if outs_are_copied() else 0
    name = "their copies in DVC's cache" if cached > temporary else "temporary files"
    return {**outs, name: max(cached, temporary), "checkpoints": checkpoint_bytes(params, training)}


def outs_bytes(params: Params, found: Found, training: Training) -> dict[str, float]:
    """Bytes that the stages leave in data/."""
    seen, dim, width = found.classes["seen"], params["train_skipgram"]["dim"], training.width
    terms, written = params["prepare_corpus"]["lexicon_size"], 1 if params["finetune_devise"]["epochs"] else 0
    per_number = {"none": 4, "word2vec-binary": 8, "word2vec-text": 15}[params["train_skipgram"]["export"]]
    synonyms = 1.8 if params["embed_labels"]["synonyms"] == "best" else 1  # lemmas of a label, each with a vector
    in_sets = found.images["val"] * (1 + PLUS_SEEN_SETS * 4 / RANKING_BYTES) + found.images["unseen"] * (LABEL_SETS - 1)
    return {
        "WordNet": WORDNET_BYTES,
        "image index": INDEX_BYTES * found.total,
        "packed pixels": packed_bytes(params, found),
        "corpus (sentences)": found.text.sentences,
        f"term vectors (up to {terms:,} of {dim} floats)": terms * dim * per_number,
        "label vectors (three kinds)": 3 * LABELS * dim * 4 * synonyms,
        f"features ({width:,} half floats an image)": found.total * width * 2,
        f"logits ({seen:,} floats a test image)": found.test * seen * 4,
        f"points ({dim} floats a test image, two models)": 2 * found.test * dim * 4,
        "rankings (first 20 and rank, each label set)": models_of(params) * in_sets * RANKING_BYTES,
        "networks (CNN, DeViSE, random embedding)": (1 + 2 * written) * training.weights * 4 + 4 * width * dim * 4,
        "closed-form models": (2 * dim + min(seen, folded_width(params, training))) * width * 4,
    }


def packed_bytes(params: Params, found: Found) -> float:
    return found.total * 3 * (params["index_images"]["pack"] or 0) ** 2


def temporary_bytes(params: Params, found: Found) -> float:
    """Bytes of the largest file that a stage removes before it ends, which is before DVC copies its outs."""
    drawn = params["index_images"]["source"] != "folders"  # or read as pixels
    return max(0 if drawn else packed_bytes(params, found), found.text.encoded)


def checkpoint_bytes(params: Params, training: Training) -> float:
    """Bytes of the largest stage's checkpoint, which the next one replaces once it is whole."""
    network = training.weights * 4 * max(1 + states_of(params[name]) for name in ("pretrain_cnn", "finetune_devise"))
    return 2 * max(network, skipgram_bytes(params))


def skipgram_speedup(workers: int) -> float:
    """How much faster so many workers of train_skipgram are than one."""
    return 1 if workers == 1 else TOGETHER * workers


def states_of(section: Mapping) -> int:
    """Numbers that an optimiser keeps for each weight."""
    return {"adamw": 2, "adagrad": 1, "sgd": 1 if section["momentum"] else 0}[section["optimiser"]]


def skipgram_bytes(params: Params) -> float:
    """Bytes of the term vectors and of the output layers that are trained with them."""
    skipgram = params["train_skipgram"]
    layers = 1 + skipgram["hierarchical_softmax"] + bool(skipgram["negative"])
    return params["prepare_corpus"]["lexicon_size"] * skipgram["dim"] * 4 * layers


def folded_width(params: Params, training: Training) -> int:
    """Dimensions that fit_closed_form decomposes: longer features are folded."""
    return min(training.width, params["fit_closed_form"]["width"])


def outs_are_copied() -> bool:
    """Whether DVC was not told to link outs to its cache; it then copies them, or reflinks them where the disk can."""
    kinds = Config(str(Path(".dvc").resolve())).get("cache", {}).get("type") or []
    return not {"hardlink", "symlink"} & set([kinds] if isinstance(kinds, str) else kinds)


def run_seconds(params: Params, found: Found, training: Training) -> dict[str, float]:
    """Seconds of each stage that takes long; what is not listed is short beside them."""
    index, skipgram, cnn = params["index_images"], params["train_skipgram"], params["pretrain_cnn"]
    tune, text = params["finetune_devise"], found.text

    def passed(images: float, section: str, cost: float = 1 / 3) -> float:
        """Seconds of `images` through the network, in `cost` of training's time, or of their decoding."""
        loading = 0 if index["pack"] else 1 / found.decoded / max(params[section]["workers"], 1)
        return images * max(cost / training.rate, loading)

    epoch, validation = passed(found.images["train"], "pretrain_cnn", 1), passed(found.images["val"], "pretrain_cnn")
    share = tune["epochs"] * tune["share"]
    tuning = passed(share * found.images["train"], "finetune_devise", 1) + tune["epochs"] * validation
    evaluated = models_of(params) * found.test * (skipgram["dim"] / 500 / RANKED + (LABEL_SETS - 1) / SCORED)
    return {
        "DVC's hashes of images and text": (found.bytes + text.bytes) / HASHED,
        "index_images": found.total * indexing_seconds(index, found) / index["workers"],
        "prepare_corpus": text.seconds * SECOND_PASS / params["prepare_corpus"]["workers"],
        f"train_skipgram ({text.words:,} words an epoch)":
            text.words * skipgram["epochs"] / SKIPGRAM_WORDS / skipgram_speedup(skipgram["workers"]),
        f"pretrain_cnn ({cnn['epochs']} epochs)": cnn["epochs"] * epoch + max(cnn["epochs"], 1) * validation,
        "extract_features": passed(found.total, "extract_features"),
        f"train_devise ({params['train_devise']['epochs']} epochs, two models)":
            2 * map_seconds(params, found, training.width),
        f"finetune_devise ({share:g} epochs, two models)": 2 * tuning,
        "fit_closed_form": closed_form_seconds(params, found, folded_width(params, training)),
        "embed_images (two models)": 2 * passed(found.test, "embed_images") if tune["epochs"] else 0,
        "ranking and evaluation": evaluated,
    }


def indexing_seconds(index: Mapping, found: Found) -> float:
    """Of one image on one core, with what packing or `check` does to it."""
    decoding = 1 / found.decoded
    if index["source"] != "folders":
        return decoding
    check = {"none": 0, "header": 1 / HEADERS, "decode": decoding}[index["check"]]
    return 1 / found.listed + (decoding if index["pack"] else check)


def map_seconds(params: Params, found: Found, width: int) -> float:
    """Of train_devise for one model, on CPU cores."""
    section, dim, seen = params["train_devise"], params["train_skipgram"]["dim"], found.classes["seen"]
    return section["epochs"] * found.images["train"] * 6 * dim * (width + seen) / PRODUCTS / section["threads"]


def closed_form_seconds(params: Params, found: Found, width: int) -> float:
    """Of fit_closed_form: Gram matrices, their decompositions, and every setting fitted and judged."""
    section, dim, seen = params["fit_closed_form"], params["train_skipgram"]["dim"], found.classes["train"]
    if not found.fits_closed_form:
        return 0
    ridge, labels, shrunk, sharp = (len(section[name]) for name in
                                    ("strengths", "label_strengths", "shrinkages", "sharpnesses"))
    linear, exemplars = ridge * (1 + labels), ridge * shrunk * sharp
    products = (2 * found.images["train"] * width**2 + 2 * (section["folds"] + 1) * EIGEN * width**3
                + linear * section["folds"] * 8 * dim * width**2
                + (linear * dim + exemplars * min(seen, width)) * 2 * width * found.images["val"])
    return products / PRODUCTS / section["threads"]


def memory_bytes(params: Params, found: Found, training: Training) -> dict[str, float]:
    """Peak memory of the stages that need most, page cache not counted."""
    index, text, dim = params["index_images"], params["prepare_corpus"], params["train_skipgram"]["dim"]
    form, width = params["fit_closed_form"], folded_width(params, training)
    decodes = index["source"] == "folders" and (index["pack"] or index["check"] == "decode")
    decoders = 0 if index["pack"] else params["pretrain_cnn"]["workers"] * DECODER_BYTES
    states = max(states_of(params[name]) for name in ("pretrain_cnn", "finetune_devise"))
    distinct = min(MAX_DISTINCT, HEAPS[0] * found.text.words ** HEAPS[1])
    foreign, workers = Path(params["embed_labels"]["vectors"]), params["train_skipgram"]["workers"]
    vectors = foreign.stat().st_size if foreign.is_file() else text["lexicon_size"] * dim * 4
    # Of each fold the others' Gram matrix and two decompositions.
    matrices = found.fits_closed_form * (3 * form["folds"] + 5) * width**2 * 8
    return {
        "index_images": STAGE_BYTES + LISTED_BYTES * found.total + index["workers"] * DECODER_BYTES * bool(decodes),
        "prepare_corpus": STAGE_BYTES + TERM_BYTES * distinct + text["workers"] * READER_BYTES,
        "train_skipgram": STAGE_BYTES + skipgram_bytes(params) * (1 + (workers if workers > 1 else 0)),  # copies
        "embed_labels": STAGE_BYTES + vectors + 3 * LABELS * dim * 4,
        # The checkpoint is put together in memory, and then once more as one string of bytes.
        "training": training.memory + decoders + INDEXED_BYTES * found.total
                    + training.weights * 4 * (states + 2 * (1 + states)),
        "fit_closed_form": STAGE_BYTES + matrices + 2 * found.images["val"] * width * 4 + INDEXED_BYTES * found.total,
    }


def basis(params: Params, found: Found, training: Training) -> str:
    """Where the figures come from."""
    folders = params["index_images"]["source"] == "folders"
    how = "decoded (measured)" if folders else "drawn or unpacked (taken, not measured)"
    copies = ("copied, unless the disk makes reflinks (btrfs, XFS, APFS);\n  temporary files are gone before and fit in"
              if outs_are_copied() else "linked; temporary files: of packing, or of the corpus")
    decoded = f"{found.decoded:,.0f} images/s {how} a core" if found.total else "no images to decode"
    return f"""Basis: {decoded}; {training.rate:,.0f} images/s trained on one \
{pick_device().type.upper()} (measured,
  without loading), extraction 3 times as fast; text: its first megabytes (measured); skip-gram {SKIPGRAM_WORDS:,}
  words/s a core; other training {PRODUCTS / 1e9:g} G operations/s a core; ranking {RANKED:,.0f} images/s at 500-D
  on 2 cores; 300 MB a decoding process. Outs in DVC's cache are {copies}."""
