"""Is a difference of two runs noise? Intervals of differences of means, as pure functions of per-class sums.

The unit is the class. A run that is trained anew moves the images of a class together, so two runs that differ in
nothing but seed differ by more than images drawn one by one would tell: in the tests' simulation, intervals by image
call one such pair in seven different, these fewer than one in twenty. Hence:

    standard error   paired bootstrap by class: C - 1 of C classes are drawn with replacement (C - 1, not C, makes the
                     variance unbiased), each with all its images and with both runs' answers to them; never less
                     than what the paired bootstrap by image gives, in closed form, for where few images changed
    interval         difference +- t * standard error, t the 97.5 % quantile of Student's distribution with
                     (sum n^2)^2 / sum n^4 - 1 degrees of freedom, n the classes' images: C - 1 if they are even;
                     of means over images half an image wider, if any image changed, since images change whole

Each class enters as sums, so 14 M images cost what their classes do, and memory grows with neither times the resamples.
What no resampling of one pair of runs can see is a shift that all classes share: for that, train several seeds.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtrit

from zeroshot.ranking.harmonic import harmonic_mean

RESAMPLES = 2000  # the standard error is then known to 1.6 %
DRAWS = 1 << 20  # classes drawn at a time: 8 MB
LEVEL = 0.95


class Estimate(NamedTuple):
    """Of some figures: the two runs' values, and half the width of the interval of after - before.

    `half` is NaN where the classes are too few for an interval: one, or one that outweighs all others.
    """

    before: Float[np.ndarray, "figures"]
    after: Float[np.ndarray, "figures"]
    half: Float[np.ndarray, "figures"]


class Sums(NamedTuple):
    """Some figures' values at the test images, summed.

    Attributes:
        images: of each class, at least 1.
        totals: sum over each class's images.
        squares: sum over all images of the squared value.
    """

    images: Int[np.ndarray, "classes"]
    totals: Float[np.ndarray, "classes figures"]
    squares: Float[np.ndarray, "figures"]

    def means(self) -> Float[np.ndarray, "figures"]:
        """Means over the images."""
        return self.totals.sum(0) / self.images.sum()

    def rates(self) -> Float[np.ndarray, "classes figures"]:
        """Means over each class's images."""
        return self.totals / self.images[:, None]


def paired_means(before: Sums, after: Sums, changes: Sums, seed: int = 0) -> Estimate:
    """Means over the same images; `changes` are the sums of each image's after - before."""
    half = _t(changes.images) * standard_error(changes, seed) + (changes.squares > 0) / 2 / changes.images.sum()
    return Estimate(before.means(), after.means(), half)


def unpaired_means(before: Sums, after: Sums, seed: int = 0) -> Estimate:
    """Means over different images, or images that were asked different things: as if drawn independently."""
    error = np.hypot(standard_error(before, seed), standard_error(after, seed))
    return Estimate(before.means(), after.means(), np.max([_t(before.images), _t(after.images)]) * error)


def standard_error(sums: Sums, seed: int) -> Float[np.ndarray, "figures"]:
    """Of the means over images: by class, or by image if that is more."""
    images = sums.images.sum()
    by_image = np.sqrt(np.maximum(sums.squares - images * sums.means()**2, 0)) / images
    if len(sums.images) < 2:
        return by_image
    return np.maximum(resampled_means(sums.images, sums.totals, seed).std(0), by_image)


def paired_harmonic(seen: tuple[np.ndarray, np.ndarray], unseen: tuple[np.ndarray, np.ndarray], seed: int = 0
                    ) -> Estimate:
    """Generalised zero-shot's harmonic mean of the seen classes' mean rate and the unseen classes'.

    Args:
        seen, unseen: (before, after), each class's share of hits, float [classes]; the same classes in both.
    """
    draws = [_harmonic_draws(*(group[run] for group in (seen, unseen)), seed) for run in (0, 1)]
    return _harmonic(seen, unseen, (draws[1] - draws[0]).std())


def unpaired_harmonic(seen: tuple[np.ndarray, np.ndarray], unseen: tuple[np.ndarray, np.ndarray], seed: int = 0
                      ) -> Estimate:
    """As `paired_harmonic`, of runs whose classes or images differ."""
    errors = [_harmonic_draws(*(group[run] for group in (seen, unseen)), seed).std() for run in (0, 1)]
    return _harmonic(seen, unseen, np.hypot(*errors))


def resampled_means(images: Int[np.ndarray, "classes"], totals: Float[np.ndarray, "classes figures"], seed: int,
                    resamples: int = RESAMPLES) -> Float[np.ndarray, "resamples figures"]:
    """Means over the images of C - 1 of C classes (C at least 2) that are drawn with replacement, again and again."""
    rng, classes = np.random.default_rng(seed), len(images)
    table = np.column_stack([images, totals]).astype(np.float64)
    drawn = np.empty((resamples, table.shape[1]))
    step = max(1, DRAWS // classes)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        picks = rng.integers(0, classes, (rows, classes - 1)) + classes * np.arange(rows)[:, None]
        times = np.bincount(picks.ravel(), minlength=rows * classes).reshape(rows, classes)
        drawn[start:start + rows] = times.astype(np.float64) @ table
    return drawn[:, 1:] / drawn[:, :1]


def effective_classes(images: Int[np.ndarray, "classes"]) -> float:
    """How many classes of even size would tell as much of their variance."""
    share = images / images.sum()
    return float((share**2).sum()**2 / (share**4).sum())


def _harmonic_draws(seen: np.ndarray, unseen: np.ndarray, seed: int) -> Float[np.ndarray, "resamples"]:
    """The two groups of classes are drawn independently; the same draws for every run."""
    means = []
    for number, rates in enumerate((seen, unseen)):
        ones = np.ones(len(rates), np.int64)
        means.append(resampled_means(ones, rates[:, None], (seed, number))[:, 0] if len(rates) > 1
                     else np.full(RESAMPLES, rates.mean()))
    return harmonic_mean(*means)


def _harmonic(seen: tuple[np.ndarray, np.ndarray], unseen: tuple[np.ndarray, np.ndarray], error: float) -> Estimate:
    before, after = (harmonic_mean(seen[run].mean(), unseen[run].mean()) for run in (0, 1))
    t = np.max([_t(np.ones(len(rates))) for rates in (*seen, *unseen)])  # NaN if any is
    return Estimate(np.array([before]), np.array([after]), np.array([t * error]))


def _t(images: np.ndarray) -> float:
    """Student's quantile for these classes; NaN if they make fewer than two."""
    freedom = effective_classes(images) - 1
    return float(stdtrit(freedom, (1 + LEVEL) / 2)) if freedom > 1 - 1e-9 else np.nan
