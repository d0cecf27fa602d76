"""Whether a figure says more than guessing would."""

from scipy.special import bdtrc

DOUBT = 0.001  # how often guessing may do so well by luck


def is_near_chance(hits: int, images: int, labels: int) -> bool:
    """Whether guessing one of `labels` for each of `images` gives at least `hits` right more often than DOUBT.

    P(X >= hits) of a binomial X with `images` draws of probability 1 / `labels`.
    """
    if images == 0 or labels < 2:
        return False
    return hits <= 0 or float(bdtrc(hits - 1, images, 1 / labels)) > DOUBT
