"""Hits on the way: hit@1 and hit@5 on validation images after each epoch."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def hits_at(scores: Float[Tensor, "images labels"], targets: Int[Tensor, "images"],
            ranks: tuple[int, ...]) -> Float[Tensor, "images ranks"]:
    """1 where the true label is among the first k; a false label with an equal score counts as before it.

    NaN for an image with a score that is not finite: a network that diverged has no hits, and none missed.
    """
    above = (scores >= scores.gather(1, targets[:, None])).sum(1)
    hits = torch.stack([(above <= k).float() for k in ranks], 1)
    return hits.masked_fill(~scores.isfinite().all(1, keepdim=True), torch.nan)


def hit_shares(hits: Sequence[Float[Tensor, "some 2"]]) -> dict[str, float]:
    """val_hit@1 and val_hit@5 from the pieces of `hits_at` (scores, targets, (1, 5)); empty if there are none."""
    if not hits:
        return {}
    first, fifth = torch.cat(list(hits)).double().mean(0).tolist()
    return {"val_hit@1": first, "val_hit@5": fifth}


def nearest_hits(points: Iterable[Float[Tensor, "some dim"]], rows: Int[np.ndarray, "images"],
                 targets: Int[np.ndarray, "all"], vectors: Float[Tensor, "labels dim"]) -> dict[str, float]:
    """val_hit@1 and val_hit@5 by cosine; an image whose label has no vector is a miss. Empty if there are no images.

    Args:
        points: M v(image) of `rows`, in pieces.
        targets: of every row of the index, see `SeenLabels.targets`.
        vectors: unit length.
    """
    hits, start = [], 0
    for piece in points:
        true = torch.from_numpy(targets[rows[start:start + len(piece)]]).to(piece.device, non_blocking=True)
        found = hits_at(F.normalize(piece) @ vectors.T, true.clamp_min(0), (1, 5))
        hits.append(found * (true >= 0)[:, None])
        start += len(piece)
    return hit_shares(hits)
