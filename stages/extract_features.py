"""Run every image through the frozen CNN once: features for DeViSE and what follows, logits for softmax and ConSE.

In: image index, images, data/cnn.safetensors.  Out: data/features/
    features.safetensors   features float16 [images, dim], row i belongs to row i of the index, all roles
    logits.safetensors     logits float32 [test images, seen labels]; row int64 [test images], the validation and then
                           the unseen images' rows of the index
Cost: one forward pass, streamed; memory does not grow with the number of images. Processes that torchrun starts share
the images out; the files are the same to the bit.
Metrics: images, dim, and how many images turned out to be unreadable (of sets read in place), which is capped.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from stages import run_stage
from zeroshot.base.artifacts import ArtifactWriter
from zeroshot.base.compute import set_up
from zeroshot.base.files import write_json
from zeroshot.base.processes import is_first
from zeroshot.console.errors import InputError
from zeroshot.images.index import ImageIndex
from zeroshot.networks.batches import SquareSource
from zeroshot.networks.inference import Passes, memory_layout, over_images
from zeroshot.networks.pass_params import PassParams
from zeroshot.networks.saved import Cnn, read_cnn
from zeroshot.networks.visual_model import Tap, feature_dim


class Params(PassParams):
    tap: Tap


def main(params: Params, *, index: Path, images: Path, cnn: Path, out: Path, metrics: Path) -> None:
    device = set_up(threads=params.threads, deterministic=params.deterministic, any_processor=params.any_processor)
    image_index, trained = ImageIndex.read(index), read_cnn(cnn)
    if trained.wnids != image_index.seen:
        raise InputError(f"{cnn}: has outputs for {len(trained.wnids)} labels, the index has {len(image_index.seen)} "
                         "seen ones, or others; `dvc repro pretrain_cnn`")
    source = SquareSource(index, images, side=trained.preprocessing.resize, device=device, workers=params.workers,
                          max_unreadable=params.max_unreadable)
    layout = memory_layout(params.channels_last)
    model = trained.model.to(device, memory_format=layout)
    passes = over_images(lambda batch: model.features_and_logits(batch, params.tap), np.arange(len(image_index)),
                         source, trained.preprocessing, Passes(params.batch, params.precision, layout), "features")
    if is_first():
        _write(params, out, image_index, trained, passes)
        write_json(metrics, {"images": len(image_index), "unreadable": len(source.unreadable),
                             "dim": feature_dim(model, params.tap, trained.preprocessing.image_size)})
    else:
        for _ in passes:  # its batches go to rank 0
            pass


def _write(params: Params, out: Path, index: ImageIndex, cnn: Cnn, passes: Iterator) -> None:
    test = index.test_rows()
    place = np.full(len(index), -1)
    place[test] = np.arange(len(test))
    with ExitStack() as stack:
        features, logits = _open_outputs(stack, params, out, index, cnn, test)
        for start, (v, scores) in passes:
            features.write("features", start, _half(v.cpu().numpy()))
            places = place[start:start + len(v)]
            if (tested := places >= 0).any():  # contiguous, since the index is sorted by role
                logits.write("logits", int(places[tested][0]), scores.cpu().numpy()[tested])


def _open_outputs(stack: ExitStack, params: Params, out: Path, index: ImageIndex, cnn: Cnn,
                  test: np.ndarray) -> tuple[ArtifactWriter, ArtifactWriter]:
    meta = {"wnids": index.seen, "tap": params.tap, "index": index.sha256, "cnn": cnn.sha256}
    dim = feature_dim(cnn.model, params.tap, cnn.preprocessing.image_size)
    features = stack.enter_context(ArtifactWriter(
        out / "features.safetensors", meta, {"features": ((len(index), dim), np.float16)}))
    logits = stack.enter_context(ArtifactWriter(
        out / "logits.safetensors", meta,
        {"logits": ((len(test), len(index.seen)), np.float32), "row": (test.shape, np.int64)}))
    logits.write("row", 0, test)
    return features, logits


def _half(v: np.ndarray) -> np.ndarray:
    if not np.isfinite(v).all():
        raise InputError("the network gives features that are NaN or infinite; did its training diverge "
                         "(metrics/pretrain_cnn.json)? Try a lower `pretrain_cnn.learning_rate`")
    with np.errstate(over="ignore"):
        half = v.astype(np.float16)
    if not np.isfinite(half).all():
        raise InputError(f"a feature of {np.abs(v).max():.3g} does not fit half precision (at most 65504); "
                         "take another `extract_features.tap`, or train the CNN with more weight decay")
    return half


if __name__ == "__main__":
    run_stage(main, shared=True)
