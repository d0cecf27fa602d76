"""Damaged files of every kind that the image side reads: the right result, or a refusal that names the file.

50 examples a reader here; `make fuzz` takes 2,000.
"""

import gzip
import io
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from PIL import Image
from safetensors.torch import save

from stages.index_images import list_source
from tests.damage import damaged, fuzzed, read_or_refused
from tests.image_sets import CAT, DOG, jpeg, tar_of
from tests.test_index_images import devkit
from zeroshot.image_sets.class_names import ClassNames, read_table
from zeroshot.image_sets.demo import read_demo_classes
from zeroshot.image_sets.layouts import Source, find_role
from zeroshot.image_sets.truths import read_truth
from zeroshot.images.decoding import UnreadableImage, check_header, decode_square
from zeroshot.networks.weights_files import read_weights
from zeroshot.taxonomy import make_taxonomy

NOUNS = make_taxonomy({wnid: ([wnid], [], [], "") for wnid in (DOG, CAT)})


IMAGES = {f"{number}.JPEG": jpeg((number, 0, 0)) for number in range(3)}
TAR = tar_of(IMAGES)
NESTED = tar_of({f"{wnid}.tar": tar_of({f"{wnid}.JPEG": jpeg((1, 2, 3))}) for wnid in (DOG, CAT)})


@given(damaged(TAR))
@fuzzed
def test_a_damaged_tar_lists_all_of_its_images_or_is_refused(tmp_path, data):
    source = Source(0, DOG, "n.tar")
    listing = read_or_refused(tmp_path / "n.tar", data, lambda path: list_source(source, path.parent))
    if listing is not None:
        assert len(listing.names) + listing.ignored.total() + len(listing.lost) == len(IMAGES)  # names may be damaged
        assert (listing.offsets + listing.sizes <= len(data)).all() and (listing.sizes > 0).all()


@given(damaged(NESTED))
@fuzzed
def test_a_damaged_tar_of_tars_holds_all_of_its_classes_or_is_refused(tmp_path, data):
    def read(path):
        names = ClassNames(NOUNS)
        role = find_role(path.parent, 0, path.name, names)
        names.refuse()
        return [list_source(source, path.parent) for source in role.sources]

    found = read_or_refused(tmp_path / "train.tar", data, read)
    assert found is None or [len(listing.names) for listing in found] == [1, 1]


DEVKIT = devkit([1, 2, 1])
TRUTH = {"ILSVRC2012_val_00000001": CAT, "ILSVRC2012_val_00000002": DOG, "ILSVRC2012_val_00000003": CAT}


@given(damaged(DEVKIT))
@fuzzed
def test_a_damaged_devkit_tells_the_truth_or_is_refused(tmp_path, data):
    assert read_or_refused(tmp_path / "devkit.tar.gz", data, read_truth) in (None, TRUTH)


@given(damaged(gzip.decompress(DEVKIT)))
@fuzzed
def test_a_damaged_devkit_without_a_checksum_gives_wnids_or_is_refused(tmp_path, data):
    found = read_or_refused(tmp_path / "devkit.tar", data, read_truth)
    assert found is None or all(len(wnid) == 9 and wnid[0] == "n" for wnid in found.values())


ANNOTATIONS = f"val_0.JPEG\t{CAT}\t0\t32\t44\t62\nval_1.JPEG\t{DOG}\t0\t3\t4\t6\n".encode()
SOLUTION = f"ImageId,PredictionString\nILSVRC2012_val_00000002,{CAT} 1 2 3 4\nx,{DOG} 1 2 3 4\n".encode()


@pytest.mark.parametrize(("name", "sound", "read"), [
    ("val_annotations.txt", ANNOTATIONS, read_truth), ("LOC_val_solution.csv", SOLUTION, read_truth),
    ("names.tsv", f"# mine\ndog\t{DOG}\ncat\t{CAT}\n".encode(), lambda path: read_table(path, NOUNS)),
    ("demo.tsv", f"role\twnid\tname\nseen\t{DOG}\tdog\nunseen\t{CAT}\tcat\n".encode(),
     lambda path: dict(zip("ab", sum(read_demo_classes(path, NOUNS), []), strict=True)))])
def test_damaged_tables_give_wnids_or_are_refused(tmp_path, name, sound, read):
    @given(damaged(sound))
    @fuzzed
    def check(data):
        found = read_or_refused(tmp_path / name, data, read)
        assert found is None or all(len(wnid) == 9 and wnid[1:].isdigit() for wnid in found.values())

    check()


def saved(kind: str, mode: str = "RGB", **options) -> bytes:
    file = io.BytesIO()
    ramp = np.arange(24 * 20 * 3, dtype=np.uint32).reshape(24, 20, 3) % 256
    Image.fromarray(ramp.astype(np.uint8)).convert(mode).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("sound", [
    saved("JPEG"), saved("JPEG", progressive=True), saved("PNG"), saved("PNG", "P"), saved("WEBP"), saved("GIF", "P"),
    saved("TIFF"), saved("TIFF", "I;16"), saved("TIFF", "F"), saved("BMP"), saved("JPEG2000"), saved("PPM")],
    ids=["jpeg", "progressive", "png", "palette", "webp", "gif", "tiff", "tiff16", "float", "bmp", "jp2", "ppm"])
def test_damaged_images_are_squares_or_unreadable(sound):
    @given(damaged(sound))
    @fuzzed
    def check(data):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                square = decode_square(data, 8)
                assert square.shape == (8, 8, 3) and square.dtype == np.uint8
            except UnreadableImage as error:
                assert 0 < len(str(error)) < 400 and "\\x" not in str(error)
            try:
                check_header(data)
            except UnreadableImage:
                pass

    check()


WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.0, -2.0])}


def as_checkpoint(**options) -> bytes:
    file = io.BytesIO()
    torch.save(WEIGHTS, file, **options)
    return file.getvalue()


@pytest.mark.parametrize(("sound", "checked"), [
    (save(WEIGHTS), False), (as_checkpoint(), True), (as_checkpoint(_use_new_zipfile_serialization=False), False)],
    ids=["safetensors", "zip", "legacy"])
def test_damaged_weights_are_state_dicts_or_refused(tmp_path, sound, checked):
    """The zip has checksums, so that what is read from it is right; the others need `pretrain_cnn.sha256`."""
    @given(damaged(sound))
    @fuzzed
    def check(data):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = read_or_refused(tmp_path / "w.pth", data, read_weights)
        if state is not None and checked:
            assert list(state) == list(WEIGHTS) and all(torch.equal(state[name], v) for name, v in WEIGHTS.items())
        assert state is None or all(isinstance(v, torch.Tensor) for v in state.values())

    check()
