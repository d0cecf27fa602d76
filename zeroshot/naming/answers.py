"""What naming returns."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Answer(NamedTuple):
    """One label that a picture may show.

    Attributes:
        words: what the label is called: WordNet's names, or yours.
        wnid: its synset; None for a label of your own that is no noun of WordNet.
        score: the cosine to the picture's point, less the handicap of a seen label and half of a label's hubness, where
            the run has these; in -1..1 and a little beyond. Of `softmax` the logit.
        seen: whether the model was trained on pictures of it.
        path: names of its hypernyms, the nearest first, up to the root.
        gloss: what it means, cut short.
    """

    words: str
    wnid: str | None
    score: float
    seen: bool
    path: tuple[str, ...]
    gloss: str


@dataclass
class Named:
    """A picture and what it was called.

    Attributes:
        picture: its path, or "picture 1".
        answers: model -> its answers, best first; fewer than asked for where there are fewer candidates.
        error: why the picture could not be read, and has no answers; "" if it could.
    """

    picture: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    error: str = ""


class Found(NamedTuple):
    """A picture that a search found.

    Attributes:
        picture: its path; of the run's own images class and row.
        score: cosine to the words.
        number: its place among the pictures searched.
    """

    picture: str
    score: float
    number: int
