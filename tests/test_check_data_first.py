"""`make check-data` is the first thing that is typed on a fresh clone: nothing is built then."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.image_sets import CAT, DOG
from tools import check_data
from zeroshot.taxonomy import make_taxonomy, write_taxonomy


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A clone whose settings are in order; what dvc would be asked to do, and what it does."""
    monkeypatch.chdir(tmp_path)
    asked, end = [], SimpleNamespace(returncode=0)

    def dvc(command):
        asked.append(command)
        if end.returncode == 0:
            write_taxonomy(tmp_path / "data/taxonomy", make_taxonomy({w: ([w], [], [], "") for w in (DOG, CAT)}))
        return end

    monkeypatch.setattr(subprocess, "run", dvc)
    return asked, end


def test_the_taxonomy_is_made_once(fresh, capsys):
    asked, _ = fresh
    assert check_data.make_taxonomy() == []
    assert asked == [[sys.executable, "-m", "dvc", "repro", "--quiet", "build_taxonomy"]]
    assert "data/taxonomy: not built yet; `dvc repro build_taxonomy` does that now" in capsys.readouterr().out
    assert check_data.make_taxonomy() == [] and len(asked) == 1 and not capsys.readouterr().out


def test_where_it_cannot_be_made_that_is_the_fault_and_nothing_else_is_tried(fresh, monkeypatch, capsys):
    _, end = fresh
    end.returncode = 1
    monkeypatch.setattr(check_data, "check_params", lambda bodies: ({}, []))
    monkeypatch.setattr(check_data, "look_at_all", lambda params: pytest.fail("looked at data without a taxonomy"))
    assert check_data.main() == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("MISSING or wrong: data/taxonomy: could not be built, as said above") and len(said) == 2


def test_wrong_settings_are_told_before_anything_is_made(fresh, monkeypatch, capsys):
    asked, _ = fresh
    monkeypatch.setattr(check_data, "check_params", lambda bodies: ({}, ["params.yaml: wrong"]))
    assert check_data.main() == 1 and not asked
    assert capsys.readouterr().out == "MISSING or wrong: params.yaml: wrong\n"
