"""Ablation lists that are refused, each before anything runs and in a line a fault."""

import runpy
import sys

import pytest

from tests.ablation_world import LIST, PARAMS, refused
from tests.run_world import git
from tests.test_ablation import faked as faked  # fixtures
from tests.test_ablation import toy as toy
from tools.ablation_list import read_ablation
from tools.stage_deps import PROJECT


@pytest.mark.parametrize("change, expected", [
    (("title:", "titel:"), ["unknown key `titel`; did you mean `title`?", "`title` is missing; expected title, pre"]),
    (("title: Toys", "title: [Toys]"), ['`title` is ["Toys"]; expected a line of text']),
    (("preset: demo", "preset: dmo"), ["unknown preset `dmo`; did you mean `demo`?"]),
    (("[devise]", "[devize]"), ["unknown model `devize`; did you mean `devise`?"]),
    (("[devise]", "[devise, devise]"), ['`figures.models` is ["devise", "devise"]; expected a list, each entry once']),
    (("[devise]", "devise"), ["`figures.models` is devise; expected a list"]),
    (("models:", "model:"), ["unknown key `figures.model`; did you mean `figures.models`?"]),
    (("unseen hit@1", "unsen hit@1"), ["unknown figure `unsen hit@1`; did you mean `unseen hit@1`",
                                       "; expected a label set of seen, unseen, 2-hops"]),
    (("unseen hit@1", "seen+seen hit@1"), ["unknown figure `seen+seen hit@1`; did you mean"]),
    (("unseen hit@1", "unseen hit@3"), ["unknown figure `unseen hit@3`; did you mean"]),
    (("unseen+seen harm", "unseen harm"), ["did you mean `unseen+seen harmonic_mean`?"]),
    (("second.x=9", "second.modls=9"), ["row `x is 9`: unknown setting `second.modls`; did you mean `second.models"]),
    (("second.x=9", "second=9"), ["`second=9`: `second` is a section; expected one of its keys x, models"]),
    (("second.x=9", "second.x"), ["row `x is 9`: second.x is no setting; expected `section.key=value`"]),
    (("second.x=9", "second.x=1,2"), ["row `x is 9`: `second.x=1,2` has several values; expected one a row"]),
    (("second.x=9", "second.x=[1"), ["row `x is 9`: `second.x=[1`: "]),
    (("second.x=9", "'second.x=\"9'"), ["row `x is 9`: second.x=\"9: No closing quotation"]),
    (("second.x=9", "{a: 1}"), ["row `x is 9`: a is no setting"]),
    (("second.x=9", "9"), ["row `x is 9`: 9: "]),
    (("second.x=9", "first.a=1"), ["rows `as it is` and `x is 9` have the same settings; expected rows that differ"]),
    (("second.x=9", "first.a=1.0"), ["rows `as it is` and `x is 9` have the same settings; expected rows that differ"]),
    (("second.x=9", "second.x=8 first.a=2 second.x=9"), ["row `x is 9`: sets `second.x` 2 times; expected once"]),
    (("  x is 9:", "  1: second.x=8\n  '1':"), ["two rows are called `1`; expected each once"]),
    (("  x is 9:", '  "x\\nis 9":'), ['row "x\\nis 9": expected a label of one line']),
    (("  x is 9:", "  null:"), ["row null: expected a label of one line"]),
    (("title: Toys", 'title: "Toys\\nof mine"'), ['`title` is "Toys\\nof mine"; expected a line of text']),
    (("unseen hit@1,", "unseen hit@1, 'unseen  hit@1',"), ["`figures.columns` is", "expected a list, each entry once"]),
    (("  x is 9", "  both"), ["ablations/toys.yaml: not valid YAML:", "duplicate"]),
    (("  x is 9: second.x=9\n  both: first.a=2 second.x=3\n", ""), ["`rows` is 1 row; expected `label: key=value"]),
    (("preset: demo", "preset: demo\nbase: [first.b=1]"), ["every row: unknown setting `first.b`"]),
    (("preset: demo", "preset: demo\nseeds: [1, 2]"), ["`seeds` without `seed_keys`; expected both"]),
    (("preset: demo", "preset: demo\nseeds: [1, 1]\nseed_keys: [first.a]"), ["`seeds` is [1, 1]; expected different"]),
    (("preset: demo", "preset: demo\nseeds: [1]\nseed_keys: [first.z]"), ["every row: unknown setting `first.z`"]),
    (("preset: demo", "preset: demo\nseeds: [1]\nseed_keys: []"), ["`seed_keys` is []; expected settings"]),
    (("preset: demo", "preset: demo\nseeds: [1]\nseed_keys: [first.a]"), ["row `both` sets `first.a`, which is one"]),
])
def test_a_bad_list_is_refused_by_name(toy, faked, change, expected):
    (toy / "ablations" / "toys.yaml").write_text(LIST.replace(*change))
    said = refused("toys", root=toy)
    assert all(line.startswith("ablations/toys.yaml") for line in said.splitlines()) or "YAML" in said
    assert [words for words in expected if words not in said] == [] and faked == []


def test_a_model_of_conse_that_no_row_makes_is_refused(toy, faked):
    listed = LIST.replace("[devise]", "[devise, conse-5, conse-20, conse-1]").replace("x=3", "x=3 rank_conse.t=[5]")
    (toy / "ablations" / "toys.yaml").write_text(listed)
    (toy / "presets" / "demo.yaml").write_text(PARAMS + "rank_conse: {t: [1, 10]}\n")
    assert refused("toys", root=toy) == ("ablations/toys.yaml: figures.models: `conse-20`: no row has 20 in "
                                         "`rank_conse.t`; they have 1, 10, 5") and faked == []


def test_what_is_not_committed_and_what_a_row_would_not_find_is_refused(toy, faked, tmp_path):
    (toy / "code" / "new.py").touch()
    (toy / "code" / "second.py").write_text("")
    assert refused("toys", root=toy) == (
        "not committed: code/second.py, code/new.py; rows run the last commit's code and would not see it: `git "
        "commit` it, or `git stash --include-untracked` it")
    git(toy, "stash", "--include-untracked")
    (toy / "lost").mkdir()  # ignored by git
    for place, why in (("lost", "git does not track it, and a row runs in a copy of what git tracks; give it as an "
                                "absolute path"), (str(tmp_path / "gone"), "no such file or folder")):
        (toy / "params.yaml").write_text(PARAMS.replace("text.txt", place))
        assert refused("toys", root=toy) == f"ablations/toys.yaml, row `as it is`: first.text: {place}: {why}"
    assert faked == []


def test_unknown_names_and_jobs_are_refused_in_a_line(toy, tmp_path, monkeypatch):
    assert refused("toy", root=toy) == "no ablation is called `toy`; ablations/ has toys"
    assert refused("toys", "0", root=toy) == "JOBS is `0`; expected how many rows run at a time, 1 to 99"
    (tmp_path / "ablations").mkdir()
    (tmp_path / "presets").mkdir()
    assert refused("x", root=tmp_path) == "no ablation is called `x`; ablations/ has none"
    assert refused("", root=toy) == "no ablation is named (`make ablation NAME=...`); ablations/ has toys"
    monkeypatch.setattr(sys, "argv", ["ablation", ""])
    with pytest.raises(SystemExit) as ended:  # a line, and exit status 1
        runpy.run_path(str(PROJECT / "tools" / "ablation.py"), run_name="__main__")
    assert len(ended.value.code.splitlines()) == 1 and "tiny-imagenet" in ended.value.code


@pytest.mark.parametrize("name", ["c 8", "a..b", "-a", "a~1"])
def test_a_name_that_no_experiment_could_have_is_refused_before_anything_runs(toy, faked, name):
    (toy / "ablations" / f"{name}.yaml").write_text(LIST)
    assert refused(name, root=toy) == (f"ablations/{name}.yaml: its rows' experiments begin with its name; expected "
                                       "letters, digits, `_`, `-` and single dots in it") and faked == []


@pytest.mark.parametrize("text", ["", "[1, 2]", "title"])
def test_a_file_without_keys_is_told_what_a_list_has(toy, text):
    (toy / "ablations" / "toys.yaml").write_text(text)
    assert refused("toys", root=toy) == ("ablations/toys.yaml: holds no `key: value`; expected title, preset, rows, "
                                         "and perhaps base, seeds, seed_keys, published, figures")


def test_figures_of_populated_sets_are_taken_with_and_without_the_seen_classes(toy):
    listed = LIST.replace("[unseen hit@1,", "[least-7+seen harmonic_mean, most-500 hit@1,")
    (toy / "ablations" / "toys.yaml").write_text(listed)
    assert read_ablation("toys", toy).columns[:2] == (("least-7+seen", "harmonic_mean"), ("most-500", "hit@1"))
