"""The first labels of some pictures, by the functions that rank the test images."""

import dataclasses

import torch
import torch.nn.functional as F

from zeroshot.naming.spaces import Judge, Values
from zeroshot.ranking.first_labels import CHUNK, rank_chunk


@torch.no_grad()
def first_labels(judge: Judge, values: Values, label_set: str, top: int) -> list[list[tuple[int, float]]]:
    """(label number, score) of each picture's first labels, best first; of equals the first in the list of labels.

    Args:
        values: of as many pictures as CHUNK says, or fewer.
        label_set: one of the judge's, with at least one candidate.
    """
    scorer, count = judge.scorer, len(next(iter(values.values())))
    top = min(top, int(scorer.layout.candidates[label_set]))
    layout = dataclasses.replace(scorer.layout, sets={label_set: scorer.layout.sets[label_set]})
    size = CHUNK[layout.slot_of.device.type]
    padded = {name: F.pad(value, (0, 0, 0, size - count)) for name, value in values.items()}
    scores = scorer.score(judge.given(padded))
    nobody = torch.full((size,), -1, device=scores.device)  # no true label is known
    labels, _ = rank_chunk(scores, nobody, layout, top)[label_set]
    image = torch.arange(size, device=scores.device)[:, None]
    found = scores[layout.slot_of[labels.clamp(min=0)], image]
    return [[(label, score) for label, score in zip(row, of_row, strict=True) if label >= 0]
            for row, of_row in zip(labels[:count].tolist(), found[:count].tolist(), strict=True)]
