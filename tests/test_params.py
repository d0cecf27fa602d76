import numpy as np
import pytest
from pydantic import Field

from zeroshot.base.params import Seed, StageParams, load_params
from zeroshot.console.errors import InputError


class Params(StageParams):
    margin: float = Field(gt=0)
    epochs: int


class Seeded(StageParams):
    seed: Seed


def load(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return load_params("train", Params, path)


def test_a_good_section_loads_and_an_integer_is_a_float(tmp_path):
    assert load(tmp_path, "train: {margin: 1, epochs: 2}\nother: {x: 1}") == Params(margin=1.0, epochs=2)


@pytest.mark.parametrize("text, message", [
    ("train: {margin: 0.1, epochs: 2, lr: 1}", "unknown key `train.lr`; known here: epochs, margin"),
    ("train: {margin: 0.1}", "key `train.epochs` is missing"),
    ("train: {margin: '0.1', epochs: 2}", "`train.margin` is '0.1'; expected: .*number"),
    ("train: {margin: -1, epochs: 2}", "`train.margin` is -1; expected: .*greater than 0"),
    ("train: {margin: 0.1, epochs: true}", "`train.epochs` is True; expected: .*integer"),
    ("train: {margin: .inf, epochs: 2}", "`train.margin` is inf; expected: .*finite"),
    ("train: {margin: .nan, epochs: 2}", "`train.margin` is nan; expected: .*"),
    ("train:", "section `train:` is missing"),
    ("[1, 2]", "section `train:` is missing"),
    ("train: {margin: 0.1", "not valid YAML"),
])
def test_a_bad_section_is_refused_naming_file_and_key(tmp_path, text, message):
    with pytest.raises(InputError, match=f"params.yaml: .*{message}"):
        load(tmp_path, text)


def test_all_faults_are_told_at_once(tmp_path):
    with pytest.raises(InputError, match="(?s)train.margin.*train.epochs"):
        load(tmp_path, "train: {margin: no, epochs: 1.5}")


def test_no_file_is_a_clear_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_params("train", Params, tmp_path / "params.yaml")


@pytest.mark.parametrize("seed, good", [(0, True), (2**32 - 1, True), (-1, False), (2**32, False)])
def test_a_seed_is_one_that_every_generator_takes(tmp_path, seed, good):
    path = tmp_path / "params.yaml"
    path.write_text(f"train: {{seed: {seed}}}")
    if good:
        assert load_params("train", Seeded, path).seed == seed
        np.random.RandomState(seed)
    else:
        with pytest.raises(InputError, match="train.seed"):
            load_params("train", Seeded, path)
