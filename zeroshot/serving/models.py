"""A trained model as the page asks it: one picture's bytes in, plain lines out."""

import io
from functools import lru_cache

from PIL import Image

from zeroshot.console.errors import InputError
from zeroshot.evaluation.model_names import display_name
from zeroshot.naming.answers import Answer
from zeroshot.naming.labels import Labels
from zeroshot.naming.model import Model
from zeroshot.serving.answers import Asked, Choice, Column, Line
from zeroshot.serving.limits import Refusal

HYPERNYMS = 3  # shown of an answer's path, the nearest
PAPERS = ("devise", "conse-10")  # ticked beside the model that does best
SYNONYMS = 3  # shown of a label's words
NOTES = 5  # shown on labels of one's own
CHOICES = 8  # lists of labels that are kept ready


class ServedModel:
    """A model folder's models; see zeroshot.serving.answers.Namer."""

    own_labels_note = ("Words or wnids, with commas or line ends between them, such as: zebra, okapi, tapir. They "
                       "take the place of the set above.")

    def __init__(self, model: Model):
        self._model = model
        self.models = [Choice(name, display_name(name)) for name in model.models]
        self.label_sets = [Choice(name, f"{name}: {count:,} labels") for name, count in model.label_sets.items()]
        self.default = Asked(tuple(name for name in model.models if name in (model.default_model, *PAPERS)),
                             model.default_labels)
        self.about = (f"{max(model.label_sets.values()):,} labels of WordNet, {len(model.seen):,} of them trained on "
                      "with images.")
        self._labels = lru_cache(CHOICES)(lambda own: model.labels(list(own)))

    def warm_up(self) -> None:
        """Load what the first picture needs, so that a damaged model is known before anybody asks."""
        blank = io.BytesIO()
        Image.new("RGB", (8, 8)).save(blank, "PNG")
        self.name(blank.getvalue(), self.default)

    def name(self, data: bytes, asked: Asked) -> tuple[list[str], list[Column]]:
        """Of an image file's bytes: notes on the labels, and one column per model.

        Raises:
            InputError: a label of which nothing is known.
            Refusal: the picture cannot be read.
        """
        labels = self._labels(asked.labels) if asked.labels else self._model.labels(asked.set)
        notes = labels.notes[:NOTES] + [f"And {len(labels.notes) - NOTES:,} more such."] * (len(labels.notes) > NOTES)
        try:
            return notes, self._columns(data, asked.models, labels, asked.top)
        except InputError:  # one of the models cannot name these; the others may
            return notes, [self._column(data, model, labels, asked.top) for model in asked.models]

    def _columns(self, data: bytes, models: tuple[str, ...], labels: Labels, top: int) -> list[Column]:
        named, = self._model.name(data, labels, top, models)
        if named.error:
            raise Refusal(415, f"The image cannot be read: {named.error}.")
        return [Column(display_name(model), [line_of(answer) for answer in named.answers[model]]) for model in models]

    def _column(self, data: bytes, model: str, labels: Labels, top: int) -> Column:
        try:
            return self._columns(data, (model,), labels, top)[0]
        except InputError as error:
            return Column(display_name(model), [], str(error))


def line_of(answer: Answer) -> Line:
    """An answer as it is shown."""
    path = " › ".join(reversed(answer.path[:HYPERNYMS]))
    words = ", ".join(answer.words.split(", ")[:SYNONYMS])
    return Line(words, f"{answer.score:.3f}", answer.wnid or "", answer.seen, path, answer.gloss)
