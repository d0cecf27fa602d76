"""Models beside the papers', fitted in closed form: ridge regression, ESZSL, predicted exemplars and classifiers.

The training images enter the first three only through, per class c, the number n_c and the sum s_c of their features x,
and through the Gram matrix G = sum of x x'. So one streaming pass serves every setting, and leaving classes out is
subtraction. The fourth takes no image, but the CNN's own classifier. Strengths are in units of the mean diagonal of the
matrix that they are added to.

    data/closed_form/<model>.safetensors   map float32 [space, dim], centre float32 [dim]; exemplars only: anchors
                                           float32 [seen, dim_label], weights float32 [seen, space]
    data/hierse_classifiers.safetensors    as exemplars, of logits [seen] in the place of features [dim]
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.base.tensors import root


@dataclasses.dataclass(frozen=True)
class ClassSums:
    """The training images of some classes, float64."""

    gram: Float[Tensor, "dim dim"]
    sums: Float[Tensor, "classes dim"]
    counts: Float[Tensor, "classes"]

    @functools.cached_property
    def solve(self) -> "Solver":
        """(G + strength I)^-1 right; G is decomposed once for all models."""
        return _solver(self.gram)


@dataclasses.dataclass(frozen=True)
class ClosedForm:
    """A fitted model: images and labels are placed in one space and compared there by cosine.

    Attributes:
        map, centre: an image's point is map (x - centre).
        anchors, weights: a label's point is sum over seen c of exp(sharpness (cos(t, anchor_c) - 1)) weight_c; its
            vector t itself if there are none.
    """

    map: Float[Tensor, "space dim"]
    centre: Float[Tensor, "dim"]
    anchors: Float[Tensor, "seen dim_label"] | None = None
    weights: Float[Tensor, "seen space"] | None = None
    sharpness: float = 0.0

    def points(self, x: Float[Tensor, "images dim"]) -> Float[Tensor, "images space"]:
        """Where images lie, of any length."""
        return (x - self.centre) @ self.map.T

    def places(self, vectors: Float[Tensor, "labels dim_label"]) -> Float[Tensor, "labels space"]:
        """Where labels with these unit vectors lie, unit length."""
        if self.anchors is None:
            return vectors
        return F.normalize(kernel(vectors, self.anchors, self.sharpness) @ self.weights)

    def to(self, *target) -> "ClosedForm":
        """As Tensor.to."""
        tensors = {field.name: value.to(*target) for field in dataclasses.fields(self)
                   if isinstance(value := getattr(self, field.name), Tensor)}
        return dataclasses.replace(self, **tensors)


Fit = Callable[..., ClosedForm]
Solver = Callable[[Float[Tensor, "n m"], float], Float[Tensor, "n m"]]


def ridge(images: ClassSums, vectors: Float[Tensor, "classes space"]) -> Fit:
    """fit(strength): W minimising sum over images |W x - t|^2 + strength |W|^2, so W = T' S (G + strength I)^-1."""
    right = images.sums.T @ vectors

    def fit(strength: float) -> ClosedForm:
        return _linear(images.solve(right, strength).T)

    return fit


def eszsl(images: ClassSums, vectors: Float[Tensor, "classes space"]) -> Fit:
    """fit(strength, label_strength): the map of ESZSL (Romera-Paredes and Torr 2015, equation 5), transposed.

    V = (G + strength I)^-1 X Y T (T' T + label_strength I)^-1; scores are x' V t, and W = V'. Y[image, class] is 1
    for the true class and 0 for the others, so that X Y = S': with the authors' -1 for the others, nearly all of the
    fit goes to that constant where classes are many (held-out hit@1 of the demo: 6 % instead of 24 %).
    """
    solve_labels = _solver(vectors.T @ vectors)
    right = images.sums.T @ vectors

    def fit(strength: float, label_strength: float) -> ClosedForm:
        return _linear(solve_labels(images.solve(right, strength).T, label_strength))

    return fit


def exemplars(images: ClassSums, vectors: Float[Tensor, "classes dim_label"]) -> Fit:
    """fit(strength, shrinkage, sharpness): what an image of a label looks like is predicted from the label's vector.

    After EXEM (Changpinyo et al. 2017), with kernel ridge regression for their support vectors: it learns, from the
    seen classes, the way from a label's vector to the mean of its images, and an image is named by the nearest such
    mean. Means are compared in the space of Fisher's discriminants, in which images of one class scatter equally in
    all directions: those in which any class's images scatter much tell little.

    Args of fit:
        strength: of the ridge. shrinkage: added to the scatter within classes before dividing by its root.
        sharpness: how fast a seen label's say falls with the cosine to its vector.
    """
    means = images.sums / images.counts[:, None]
    within = (images.gram - (images.sums.T / images.counts) @ images.sums) / images.counts.sum()
    scatter, directions = torch.linalg.eigh(within)
    # Rounding leaves less than nothing in some directions, and one image a class has no scatter at all.
    mean_scatter = max(scatter.mean().item(), 1e-6 * images.gram.diagonal().mean().item() / images.counts.sum().item())
    centre = means.mean(0)

    @functools.cache
    def space(shrinkage: float) -> tuple[Tensor, Tensor]:
        """The map to the space, and where the class means lie there, unit length."""
        whitening = directions / root(scatter.clamp_min(0) + shrinkage * mean_scatter)
        whitened = (means - centre) @ whitening
        # No exemplar leaves the span of the class means, so only an image's part in it is kept.
        _, lengths, span = torch.linalg.svd(whitened, full_matrices=False)
        span = span[lengths > 1e-9 * lengths[0]]
        return span @ whitening.T, F.normalize(whitened @ span.T)

    def fit(strength: float, shrinkage: float, sharpness: float) -> ClosedForm:
        to_space, targets = space(shrinkage)
        return _predicted(to_space, centre, targets, vectors, strength, sharpness)

    return fit


def classifiers(rows: Float[Tensor, "classes dim"], bias: Float[Tensor, "classes"],
                vectors: Float[Tensor, "classes dim_label"], dimensions: int) -> Fit:
    """fit(strength, sharpness, taken): what a classifier's row for a label would be is predicted from its vector.

    As `exemplars`, but without any image: the rows of the seen labels, less their mean, which no softmax sees, stand
    for what their images look like. An image is given by its logits, which tell where in the rows' span its features
    lie; the span's first principal directions are kept, `dimensions` at most.

    Args:
        rows, bias: the classifier's, float64: an image's logits are rows x + bias.
    Args of fit:
        strength, sharpness: as of `exemplars`. taken: bool [classes], from which it learns; None: all.
    """
    rows = rows - rows.mean(0)
    classes, lengths, _ = torch.linalg.svd(rows, full_matrices=False)
    kept = (lengths > 1e-3 * lengths[0]) & (torch.arange(len(lengths)) < dimensions)
    classes, lengths = classes[:, kept], lengths[kept]  # each of them sums to 0, so the logits' mean does not matter
    targets = F.normalize(classes * lengths)

    def fit(strength: float, sharpness: float, taken: Bool[Tensor, "classes"] | None = None) -> ClosedForm:
        taken = torch.ones(len(rows), dtype=torch.bool) if taken is None else taken
        return _predicted((classes / lengths).T, bias, targets[taken], vectors[taken], strength, sharpness)

    return fit


def _predicted(to_space: Float[Tensor, "space dim"], centre: Float[Tensor, "dim"],
               targets: Float[Tensor, "classes space"], vectors: Float[Tensor, "classes dim_label"], strength: float,
               sharpness: float) -> ClosedForm:
    """Kernel ridge regression from the classes' vectors to where they lie in the space."""
    similar = kernel(vectors, vectors, sharpness)
    weights = torch.linalg.solve(similar + strength * torch.eye(len(similar), dtype=similar.dtype), targets)
    return ClosedForm(to_space, centre, vectors, weights, sharpness)


def kernel(left: Float[Tensor, "a dim"], right: Float[Tensor, "b dim"], sharpness: float) -> Float[Tensor, "a b"]:
    """Gaussian kernel of unit vectors, exp(sharpness (cosine - 1)): 1 where they are equal."""
    return torch.exp(sharpness * (left @ right.T - 1))


def write_closed_form(path: Path, model: ClosedForm, meta: dict[str, Any]) -> None:
    """Write a model; meta holds `tap`, `features`, `labels` and `seen_handicap`."""
    arrays = {name: value.float().numpy() for name, value in vars(model).items() if isinstance(value, Tensor)}
    write_artifact(path, {**meta, "sharpness": model.sharpness}, arrays)


def read_closed_form(path: Path) -> tuple[ClosedForm, Artifact]:
    """A model, on the CPU, and the opened file for its meta and checksum. Raises InputError as `Artifact` does."""
    artifact = Artifact(path)
    return ClosedForm(**{name: torch.from_numpy(artifact[name]) for name in artifact.names()},
                      sharpness=artifact.meta["sharpness"]), artifact


def _linear(weight: Float[Tensor, "space dim"]) -> ClosedForm:
    return ClosedForm(weight, torch.zeros(weight.shape[1], dtype=weight.dtype))


def _solver(matrix: Float[Tensor, "n n"]) -> Solver:
    """(matrix + strength x mean diagonal x I)^-1 right, for many strengths after one decomposition."""
    values, directions = torch.linalg.eigh(matrix)

    def solve(right: Float[Tensor, "n m"], strength: float) -> Float[Tensor, "n m"]:
        return directions @ ((directions.T @ right) / (values + strength * matrix.diagonal().mean())[:, None])

    return solve
