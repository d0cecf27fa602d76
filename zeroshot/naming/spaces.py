"""The models as naming uses them: from what the network says of pictures to scores of any labels.

The functions are those of the ranking stages, so that answers are the pipeline's to the label.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32
from torch import Tensor

from zeroshot.closed_form.models import ClosedForm, read_closed_form
from zeroshot.labels.label_vectors import LabelVectors
from zeroshot.naming.folder import ModelFolder
from zeroshot.naming.labels import own_vectors
from zeroshot.naming.own_labels import OwnLabel
from zeroshot.naming.words import Words
from zeroshot.networks.saved import read_devise
from zeroshot.ranking.conse import Mixer
from zeroshot.ranking.first_labels import OutputScores, lay_out
from zeroshot.ranking.nearest import nearest_of_sets
from zeroshot.ranking.rank_images import Scorer

Values = Mapping[str, Tensor]  # "logits", "features" and, of a fine-tuned DeViSE, "network"; [images, ...]
Members = Mapping[str, Bool[np.ndarray, "labels"]]


class Run(NamedTuple):
    """What all models of a folder share.

    Attributes:
        wnids: sorted, all labels.
        members: label set -> which of them are in it.
        outputs: the seen labels, in the order of the network's outputs.
    """

    folder: ModelFolder
    words: Words
    wnids: list[str]
    members: Members
    outputs: list[str]
    device: torch.device


class Space:
    """A model that compares pictures and labels by cosine in one space.

    Attributes:
        kind: of label vectors, lemmas or hypernyms.
    """

    def __init__(self, run: Run, name: str):
        self._run, about = run, run.folder.about["models"][name]
        self.kind: str = about["labels"]
        self._places: Callable[[Tensor], Tensor] = lambda vectors: vectors
        self._points: Callable[[Values], Tensor]
        if about["values"] == "logits":
            mixer = Mixer.among(run.words.label_vectors(self.kind), run.outputs, about["t"], run.device,
                                  about.get("temperature", 1.0))
            if "classifiers" in about:
                beside = self._closed_form(run, "hierse_classifiers")
                mixer = mixer._replace(beside=beside, share=about["classifiers"])
                self._places = mixer.places
            self._points = lambda values: mixer(values["logits"])
        elif about["values"] == "network":
            self._points = lambda values: values["network"]
        elif name == "devise":
            linear = run.folder.read("devise.safetensors", read_devise).map.to(run.device)
            self._points = lambda values: linear(values["features"])
        else:
            model = self._closed_form(run, name)
            self._points = lambda values: model.points(values["features"])
            self._places = model.places if about["moved"] else self._places
        labels = run.folder.artifact("labels.safetensors")
        self._bias = labels[f"bias.{name}"] if f"bias.{name}" in labels else None

    @staticmethod
    def _closed_form(run: Run, name: str) -> ClosedForm:
        return run.folder.read(f"{name}.safetensors", read_closed_form, lambda read: read[1].sha256)[0].to(run.device)

    @torch.no_grad()
    def points(self, values: Values) -> Float32[Tensor, "images space"]:
        """Where pictures lie, unit length."""
        return F.normalize(self._points(values))

    @torch.no_grad()
    def places(self, vectors: Float32[np.ndarray, "rows dim"]) -> Float32[np.ndarray, "rows space"]:
        """Where labels with these vectors lie, unit length."""
        return self._places(torch.from_numpy(vectors).to(self._run.device)).cpu().numpy()

    def of_sets(self) -> "Judge":
        """Scores of the labels of the run's label sets, laid out as the ranking stages do."""
        vectors = self._run.words.label_vectors(self.kind)
        return Judge(nearest_of_sets(vectors, self._run.members, self._run.device, points=lambda values: values,
                                     places=self.places(vectors.vectors), bias=self._bias), self._points)

    def of_own(self, own: Sequence[OwnLabel]) -> "Judge":
        """Scores of one's own labels. Raises InputError if one has no vector."""
        rows, row_label = own_vectors(self._run.words, self.kind, own)
        names = [str(number) for number in range(len(own))]
        members = {"own": np.ones(len(own), bool)}
        return Judge(nearest_of_sets(LabelVectors(names, rows, row_label), members, self._run.device,
                                     places=self.places(rows), bias=self._own_bias(own)), self._points)

    def _own_bias(self, own: Sequence[OwnLabel]) -> Float32[np.ndarray, "labels"] | None:
        """A label of the run keeps its own; any other has the mean of those that are not seen."""
        if self._bias is None:
            return None
        unseen = ~np.isin(self._run.wnids, self._run.outputs)
        other = self._bias[unseen].mean() if unseen.any() else np.float32(0)
        known = dict(zip(self._run.wnids, self._bias, strict=True))
        return np.array([known.get(label.wnid, other) for label in own], np.float32)


class Softmax:
    """The classifier itself, which can name seen labels only."""

    def __init__(self, run: Run):
        self._run = run

    def of_sets(self) -> "Judge":
        layout = lay_out(self._run.members, np.isin(self._run.wnids, self._run.outputs), self._run.device)
        score = OutputScores(np.searchsorted(self._run.wnids, self._run.outputs), layout)
        return Judge(Scorer(score, layout, {}, {}), lambda values: values["logits"])

    def of_own(self, own: Sequence[OwnLabel]) -> "Judge":
        output = {wnid: number for number, wnid in enumerate(self._run.outputs)}
        seen = np.array([label.wnid in output for label in own])
        columns = torch.tensor([output[label.wnid] for label in own if label.wnid in output], device=self._run.device)
        layout = lay_out({"own": np.ones(len(own), bool)}, seen, self._run.device)
        score = OutputScores(np.flatnonzero(seen), layout)
        return Judge(Scorer(score, layout, {}, {}), lambda values: values["logits"][:, columns.long()])


class Judge(NamedTuple):
    """Scores of some labels.

    Attributes:
        scorer: of what `given` returns.
        given: what of the network's values it takes.
    """

    scorer: Scorer
    given: Callable[[Values], Tensor]
