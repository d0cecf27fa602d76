"""What must be said beside figures that would mislead, a paragraph each."""

from zeroshot.base.chance import is_near_chance
from zeroshot.report.scores import Figures


def trained_on(ours: Figures) -> list[str]:
    """Said where the seen classes' test images were training images too."""
    shared = [int(value) for (_, _, metric, _), value in ours.items() if metric == "val_images_also_train"]
    if not max(shared, default=0):
        return []
    images = max((int(value) for (_, name, metric, _), value in ours.items() if (name, metric) == ("seen", "images")),
                 default=0)
    return [f"Training images too: {max(shared):,} of the {images:,} validation images of seen classes. What "
            "models that were trained on them score on seen images, and their harmonic means, tell nothing about new "
            "images: random embedding, DeViSE and the closed-form ones, and all if pretrain_cnn trained on them."]


def near_chance(ours: Figures) -> list[str]:
    """Said where the CNN names images of its own classes no better than one that guesses."""
    hit, images, labels = (ours.get(("softmax", "seen", metric, k))
                           for metric, k in (("hit", 1), ("images", None), ("candidates", None)))
    if hit is None or not is_near_chance(round(hit * images), int(images), int(labels)):
        return []
    return [f"Near chance: the softmax baseline's hit@1 on {int(images):,} images of seen classes, "
            f"{100 * hit:.2g} %, is what guessing gives too ({100 / labels:.2g} %). Every figure here builds on that "
            "network: see `pretrain_cnn.weights_outputs`, `mean`, `deviation` and the images' labels."]
