import datetime
import math

import numpy as np
import pytest
from dvc.utils.serialize import modify_yaml, parse_yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from zeroshot.base.params import Seed, StageParams, load_params, read_yaml
from zeroshot.console.errors import InputError
from zeroshot.ranking.stacking import Handicap


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


class Outer(StageParams):
    inner: Params
    either: Params | None
    top: int


@pytest.mark.parametrize("text, message", [
    ("train: {inner: {margn: 1}, top: 1}", "unknown key `train.inner.margn`; known here: epochs, margin$"),
    ("train: {either: {margn: 1}, top: 1}", "unknown key `train.either.margn`; known here: epochs, margin$"),
    ("train: {inner: {}, topp: 1}", "unknown key `train.topp`; known here: either, inner, top$")])
def test_of_an_unknown_key_those_beside_it_are_told(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InputError, match=f"(?m){message}"):
        load_params("train", Outer, tmp_path / "params.yaml")


class Counted(StageParams):
    t: list[int] = Field(min_length=1)
    name: str = Field(min_length=1, max_length=3)


@pytest.mark.parametrize("text, message", [
    ("train: {t: [], name: a}", r"`train.t` is \[\]; expected: at least 1 item$"),
    ("train: {t: [1], name: ''}", "`train.name` is ''; expected: at least 1 character$"),
    ("train: {t: [1], name: abcd}", "`train.name` is 'abcd'; expected: at most 3 characters$"),
])
def test_lengths_are_told_without_pydantics_sentence(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_params("train", Counted, path)


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


@pytest.mark.parametrize("written, value", [  # by YAML 1.2, and DVC; what YAML 1.1 makes of it
    ("1e-05", 0.00001),  # text
    ("3e-4", 0.0003),  # text
    ("1E5", 100_000.0),  # text
    ("010", 10),  # 8
    ("0o10", 8),  # text
    ("08", 8),  # text
    ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"),  # truth values, but for y
    ("true", True), ("False", False),
    ("1_000", 1000),
    ("12:30", "12:30"), ("1:2:3", "1:2:3"),  # minutes, of 60 seconds
    (".5", 0.5), ("+.5", 0.5), ("1.", 1.0), ("+1", 1), ("-0", 0),
    ("~", None), ("null", None), ("", None),
    (".inf", math.inf), ("0x1F", 31), ("'010'", "010"), ("2020-01-31", datetime.date(2020, 1, 31)),
])
def test_a_value_is_what_dvc_takes_it_for(tmp_path, written, value):
    path = tmp_path / "params.yaml"
    path.write_text(f"a: {written}\nb:\n  - {written}\n")
    assert read_yaml(path) == {"a": value, "b": [value]} == parse_yaml(path.read_text(), str(path))
    assert type(read_yaml(path)["a"]) is type(value)


def test_what_an_experiment_writes_is_read(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("train: {margin: 0.1, epochs: 2}\n")
    with modify_yaml(path) as document:  # as `dvc exp run -S train.margin=0.00001` does
        document["train"]["margin"] = 0.00001
    assert "1e-05" in path.read_text() and load_params("train", Params, path).margin == 0.00001


@given(st.text("0123456789+-._eExXobainfNty~:<=", min_size=1, max_size=7))
def test_any_plain_word_reads_as_dvc_reads_it(tmp_path_factory, word):
    path = tmp_path_factory.getbasetemp() / "word.yaml"
    path.write_text(f"a: {word}\n")
    try:
        expected = repr(parse_yaml(path.read_text(), str(path)))
    except Exception:
        with pytest.raises(InputError, match="not valid YAML"):
            read_yaml(path)
    else:
        assert repr(read_yaml(path)) == expected


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: 2020-13-40\n", "a: \x00", "a: \xff", "[" * 5000, "a: *b",
                                  "a: !!x 1", "a: {b"])
def test_no_yaml_is_told_in_few_words(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="params.yaml: not valid YAML: .*") as error:
        read_yaml(path)
    assert len(str(error.value).removeprefix(str(path))) < 250 and "\n" not in str(error.value)


def test_a_value_of_millions_is_told_in_a_short_line(tmp_path):
    """Aliases of aliases: 90 bytes of YAML a level, nine times the values."""
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9)]
    (tmp_path / "params.yaml").write_text("\n".join(["l0: &l0 [x, x]", *levels, "train: {margin: *l8, epochs: 2}", ""]))
    with pytest.raises(InputError, match="`train.margin` is .*; expected: a valid number") as refused:
        load_params("train", Params, tmp_path / "params.yaml")
    assert len(str(refused.value)) < 3_000


class Either(StageParams):
    handicap: Handicap
    parts: dict[str, int] = {}
    margin: float = 0.1


@pytest.mark.parametrize("written, said", [
    ("maybe", "`rank.handicap` is 'maybe'; expected: 'auto', or a valid number"),
    ("3", "`rank.handicap` is 3; expected: 'auto', or less than or equal to 2"),
])
def test_a_setting_of_two_kinds_is_told_once_by_its_key(tmp_path, written, said):
    path = tmp_path / "params.yaml"
    path.write_text(f"rank: {{handicap: {written}, parts: {{float: x}}, margin: x}}")
    with pytest.raises(InputError) as refused:
        load_params("rank", Either, path)
    assert str(refused.value).splitlines() == [
        f"{path}: {said}",
        f"{path}: `rank.parts.float` is 'x'; expected: a valid integer",
        f"{path}: `rank.margin` is 'x'; expected: a valid number",
    ]
