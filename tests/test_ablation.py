"""Ablations: rows that run, are there already or fail, what a row is known by, and a tiny one as a whole."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import yaml

from tests.ablation_world import LIST, PARAMS, PIPELINE, SECOND, build_toy, committed, refused
from tests.run_world import git
from tools import ablation, ablation_settings, ablation_table
from tools.ablation_list import Row, ablation_names, read_ablation, words
from tools.bench import Bench, Job, experiments, why_it_failed
from tools.stage_deps import PROJECT


@pytest.fixture
def toy(tmp_path, monkeypatch):
    return build_toy(tmp_path, monkeypatch)


def ran(tmp_path):
    count = tmp_path / "count"
    return count.read_text().splitlines() if count.exists() else []


def test_a_tiny_one_as_a_whole_is_killed_and_goes_on_and_leaves_the_workspace_alone(toy, tmp_path, capsys):
    (toy / "params.yaml").write_text("edited: {by: its user}\n")
    before = git_state(toy)
    kill_in_the_last_row(toy, tmp_path)
    assert ran(tmp_path) == ["first", "second 1", "second 9", "first", "second 3"]
    assert [found.about["row"] for found in experiments(toy).values()] == ["as it is"]
    assert ablation.main("toys", root=toy) == 1
    said = capsys.readouterr().out
    assert "1 of 3 runs are there already" in said and "x is 9 FAILED: second: x is 9; expected at most 8 (all" in said
    assert ran(tmp_path)[5:] == ["second 9", "second 3"]  # the last row's `first` had run before the kill
    assert git_state(toy) == before and {path.name for path in (toy / ablation.WORK).iterdir()} == {"logs", "lock"}
    rows = list(csv.DictReader((toy / "results" / "demo" / "ablations" / "toys.csv").open()))
    assert [[row[key] for key in ("row", "metric", "value", "difference")] for row in rows] == [
        ["as it is", "hit@1", "0.1", ""], ["as it is", "harmonic_mean", "0.05", ""],
        ["both", "hit@1", "0.3", "0.19999999999999998"], ["both", "harmonic_mean", "0.15", "0.09999999999999999"]]
    text = (toy / "results" / "demo" / "ablations" / "toys.md").read_text()
    assert "- **x is 9** (`second.x=9`): failed: second: x is 9; expected at most 8\n" in text
    assert "| both     | DeViSE | 30.0 +20.0 ±– | 15.0 +10.0 ±– " in text
    assert ablation_settings.git(toy, "rev-parse", "--short=7", "HEAD").strip() in text and "a machine" in text


def git_state(root):
    """All that git sees of a workspace, but for the results."""
    parts = [("status", "--porcelain", "--", ".", ":!results"), ("stash", "list"), ("rev-parse", "HEAD"), ("diff",)]
    return [ablation_settings.git(root, *part) for part in parts]


def kill_in_the_last_row(root, tmp_path):
    code = f"from pathlib import Path; from tools.ablation import main; main('toys', root=Path({str(root)!r}))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, env={**os.environ, "SLOW": "1"},
                          stdout=subprocess.DEVNULL) as process:
        while "second 3" not in ran(tmp_path) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)


def test_a_row_holds_what_it_made_and_nothing_of_the_row_before(toy):
    """Neither its metrics nor its entries in dvc.lock."""
    commit = ablation_settings.git(toy, "rev-parse", "HEAD").strip()
    bench = Bench(toy, toy / ".dvc" / "tmp" / "bench", commit)
    for number, models in enumerate(("[softmax, devise]", "[devise, random]")):
        text = PARAMS.replace("[devise]", models).encode()
        assert bench.run(Job(f"row-{number}", "row", text, {}), toy / ".dvc" / "tmp" / "log", lambda _: None)
    bench.close()
    second = experiments(toy)["row-1"].commit
    lock = yaml.safe_load(ablation_settings.git(toy, "show", f"{second}:dvc.lock"))
    assert set(lock["stages"]) == {"first", "second@devise", "second@random"}
    assert ablation_settings.git(toy, "ls-tree", "--name-only", f"{second}:metrics").split() == ["devise", "random"]
    assert ablation_table.figure(toy, second, "random", "unseen", "hit@1") == 0.1
    assert ablation_table.figure(toy, second, "softmax", "unseen", "hit@1") is None


@pytest.fixture
def faked(toy, monkeypatch):
    """`calls` gets each run's row and params; rows whose label holds "9" fail; no DVC runs."""
    calls, lock = [], threading.Lock()

    def run_row(benches, job, log, say):
        calls.append((job.about["row"], job.about["seed"], yaml.safe_load(job.text)))
        with lock:
            return pretend(job, log)

    def pretend(job, log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("Running stage 'second':\n> x\nsecond: it is 9\nERROR: failed to reproduce\n")
        if "9" in job.label:
            return False
        head = ablation_settings.git(toy, "rev-parse", "HEAD").strip()
        x = yaml.safe_load(job.text)["second"]["x"]
        about = '{"started": 1700000000, "hardware": "h", "versions": "v"}'
        commit = committed(toy, head, "metrics/devise/unseen.json", f'{{"hit@1": {x / 10}}}', f"row\n\n{about}")
        git(toy, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{job.name}", commit)
        return True

    monkeypatch.setattr(ablation, "run_row", run_row)
    return calls


def rows_of(calls):
    return [call[0] for call in calls]


def test_rows_that_are_there_are_not_run_again_and_a_failing_one_stops_no_other(toy, faked, capsys):
    assert ablation.main("toys", root=toy) == 1 and rows_of(faked) == ["as it is", "x is 9", "both"]
    assert ablation.main("toys", root=toy) == 1 and rows_of(faked)[3:] == ["x is 9"]
    (toy / "notes.md").write_text("of no stage's concern")
    git(toy, "add", ".")
    git(toy, "commit", "--quiet", "-m", "notes")
    assert ablation.main("toys", root=toy) == 1 and rows_of(faked)[4:] == ["x is 9"]
    assert capsys.readouterr().out.count("x is 9 FAILED: second: it is 9") == 3


@pytest.mark.parametrize("path, text", [("code/second.py", SECOND + "\n"), ("text.txt", "another"),
                                        ("dvc.yaml", PIPELINE + "\n"),
                                        ("presets/demo.yaml", PARAMS.replace("devise]", "devise, random]"))])
def test_rows_run_again_after_a_commit_of_what_decides_them(toy, faked, path, text):
    ablation.main("toys", root=toy)
    (toy / path).write_text(text)
    git(toy, "commit", "--quiet", "--all", "-m", "change")
    ablation.main("toys", root=toy)
    assert rows_of(faked) == ["as it is", "x is 9", "both"] * 2


def test_rows_by_a_pattern_and_the_others_stay_in_the_table_as_they_are(toy, faked):
    assert ablation.main("toys", rows="as*", root=toy) == 0 and rows_of(faked) == ["as it is"]
    text = (toy / "results" / "demo" / "ablations" / "toys.md").read_text()
    assert "\nNot run: x is 9; both.\n" in text and "| both " not in text and "intervals say:" not in text
    ablation.main("toys", rows="both", root=toy)
    assert rows_of(faked) == ["as it is", "both"]
    assert refused("toys", rows="bot", root=toy) == ("ROWS: `bot` is no row of ablations/toys.yaml; it has `as it is`"
                                                     ", `x is 9`, `both`; a pattern takes several: `ResNet*`")


def test_ctrl_c_leaves_the_table_of_what_is_there(toy, faked, monkeypatch):
    run_row = ablation.run_row

    def interrupted(benches, job, *rest):
        if "both" in job.name:
            raise KeyboardInterrupt
        return run_row(benches, job, *rest)

    monkeypatch.setattr(ablation, "run_row", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ablation.main("toys", root=toy)
    text = (toy / "results" / "demo" / "ablations" / "toys.md").read_text()
    assert "- **x is 9** (`second.x=9`): failed: second: it is 9\n" in text and "\nNot run: both.\n" in text


def test_ctrl_c_before_any_row_is_done_leaves_an_older_table(toy, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ablation, "run_row", interrupted)
    folder = toy / "results" / "demo" / "ablations"
    for there in ([], ["toys.csv", "toys.md"]):
        for name in there:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("of an earlier commit")
        with pytest.raises(KeyboardInterrupt):
            ablation.main("toys", root=toy)
        assert [(path.name, path.read_text()) for path in sorted(folder.glob("*"))] == [
            (name, "of an earlier commit") for name in there]


def test_where_no_row_is_done_the_tables_of_earlier_commits_stay(toy, faked, capsys):
    listed = LIST.replace("as it is:", "is 9: second.x=9").replace("x is 9: second.x=9", "is 7: second.x=7")
    (toy / "ablations" / "toys.yaml").write_text(listed)
    folder = toy / "results" / "demo" / "ablations"
    folder.mkdir(parents=True)
    (folder / "toys.md").write_text("published")
    assert ablation.main("toys", rows="is 9", root=toy) == 1
    said = capsys.readouterr().out
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("toys.md", "published")]
    assert "is 9 FAILED: second: it is 9 (all" in said
    assert said.endswith("\nno row is done, so no table is written; one of an earlier commit stays as it is\n")


def test_rows_that_only_the_table_before_has_are_named_and_not_lost(toy, faked, capsys):
    (toy / "ablations" / "toys.yaml").write_text(LIST.replace("x is 9: second.x=9", "8: second.x=8"))
    folder = toy / "results" / "demo" / "ablations"
    ablation.main("toys", root=toy)
    git(toy, "add", ".")
    git(toy, "commit", "--quiet", "-m", "results")
    forget_experiments(toy)
    before = [(folder / name).read_text() for name in ("toys.md", "toys.csv")]
    ablation.main("toys", rows="both", root=toy)
    one = [(folder / name).read_text() for name in ("toys.md", "toys.csv")]
    assert ("results/demo/ablations/toys.md: the one before had more of as it is; 8; `git checkout results/demo/"
            "ablations/toys.md results/demo/ablations/toys.csv` brings it back\n") in capsys.readouterr().out
    for number in ("", "2"):  # not committed: kept, and what is kept is not lost either
        forget_experiments(toy)
        ablation.main("toys", rows="8", root=toy)
        assert (f"toys.md: the one before had more of both; it is kept as toys.md.before{number} and "
                f"toys.csv.before{number}\n") in capsys.readouterr().out
        assert [(folder / f"{name}.before{number}").read_text() for name in ("toys.md", "toys.csv")] == one
        for name, text in zip(("toys.md", "toys.csv"), one, strict=True):
            (folder / name).write_text(text)
    git(toy, "checkout", "results/demo/ablations")
    assert [(folder / name).read_text() for name in ("toys.md", "toys.csv")] == before


def forget_experiments(root):
    for ref in ablation_settings.git(root, "for-each-ref", "--format=%(refname)", "refs/exps").split():
        git(root, "update-ref", "-d", ref)


def test_which_edition_of_cifar_lies_there_is_its_users_own(tmp_path):
    for name in ("presets", "dvc.yaml", "ablations"):
        (tmp_path / name).symlink_to(PROJECT / name)
    changes = {"index_images.images": "/archives", "index_images.cifar.md5": "any"}
    params = ablation_settings._with(ablation_settings.merged("cifar100", PROJECT / "presets"), changes)
    (tmp_path / "params.yaml").write_bytes(params)
    text, note = ablation_settings.preset_text(read_ablation("cifar100", PROJECT), tmp_path)
    assert text == params
    assert note == "from params.yaml: inputs, index_images.images (/archives), index_images.cifar.md5 (any)"


def test_several_at_a_time_begin_with_the_first(toy, faked):
    (toy / "ablations" / "toys.yaml").write_text(LIST.replace("x is 9: second.x=9", "x is 8: second.x=8"))
    assert ablation.main("toys", jobs="3", root=toy) == 0
    assert rows_of(faked)[0] == "as it is" and sorted(rows_of(faked)) == ["as it is", "both", "x is 8"]


def test_each_row_runs_once_a_seed_which_its_keys_get(toy, faked):
    seeds = "seeds: [4, 7]\nseed_keys: [first.a]\n"
    (toy / "ablations" / "toys.yaml").write_text(LIST.replace("first.a=2 ", "") + seeds)
    ablation.main("toys", root=toy)
    assert [(row, seed, params["first"]["a"], params["second"]["x"]) for row, seed, params in faked] == [
        ("as it is", 4, 4, 1), ("as it is", 7, 7, 1), ("x is 9", 4, 4, 9), ("x is 9", 7, 7, 9), ("both", 4, 4, 3),
        ("both", 7, 7, 3)]


def test_rows_run_on_the_preset_and_where_inputs_are_on_params_yaml(toy, faked, tmp_path, capsys):
    (toy / "ablations" / "toys.yaml").write_text(LIST.replace("preset: demo", "preset: other\nbase: [first.a=6]"))
    ablation.main("toys", root=toy)
    assert faked[0][2] == {"first": {"a": 6, "text": "text.txt"}, "second": {"x": 5, "models": ["devise"]}}
    assert "params.yaml has other settings than the preset `other` (second.x); rows run" in capsys.readouterr().out
    text = tmp_path / "text.txt"
    text.write_text("mine")
    (toy / "params.yaml").write_text(PARAMS.replace("text.txt", str(text)).replace("x: 1", "x: 5"))
    ablation.main("toys", root=toy)
    assert f"from params.yaml: inputs, first.text ({text})\n" in capsys.readouterr().out
    assert faked[3][2]["first"] == {"a": 6, "text": str(text)} and len(faked) == 6
    os.utime(text, (1, 1))
    ablation_settings._outline.cache_clear()  # of one run of the program
    ablation.main("toys", root=toy)
    assert len(faked) == 9


def test_two_at_once_in_a_folder_are_refused(toy, faked, monkeypatch):
    monkeypatch.setattr(ablation, "PATIENCE", 0.1)
    with ablation._alone(toy):
        assert refused("toys", root=toy).startswith("another `make ablation` runs in this folder")


@pytest.mark.parametrize("name", ablation_names(PROJECT))
def test_a_list_that_ships_has_only_settings_that_stages_take(name):
    """And rows that differ, of which the last one's params.yaml, which DVC writes, holds what was checked."""
    listed, bodies = read_ablation(name, PROJECT), ablation_settings.pipeline(PROJECT)
    planned = ablation.plan(listed, "HEAD", PROJECT)
    assert len({run.name for run in planned}) == len(planned) == len(listed.rows) * len(listed.seeds)
    assert [fault for run in planned for fault in ablation_settings.faults_of(run.params, bodies)] == []
    assert yaml.safe_load(planned[-1].job(name, {}).text) == planned[-1].params


def test_words_of_a_row_are_those_behind_dvc_exp_run():
    assert words("-S a.b=1 --set-param 'a.c=[1, 2]'") == ("a.b=1", "a.c=[1, 2]") == words(["a.b=1", "a.c=[1, 2]"])
    assert words(None) == words([]) == ()
    assert Row("Margin 0.2: (both)", ()).slug == "margin-0-2-both" and Row("é", ()).slug == "row"


def test_a_setting_that_a_stage_refuses_is_refused_before_anything_runs():
    demo = (PROJECT / "presets" / "demo.yaml").read_bytes()
    params, bodies = (ablation_settings.overridden(demo, ["train_devise.margin=-1"], "row"),
                      ablation_settings.pipeline(PROJECT))
    assert [fault.partition(";")[0] for fault in ablation_settings.faults_of(params, bodies)] == [
        "params.yaml: `train_devise.margin` is -1"]


def test_why_it_failed_is_what_was_said_last(tmp_path):
    log = tmp_path / "log"
    for text, reason in (("Running stage 'a':\n> cmd\nTraceback\n  x\nKeyError: 1\nERROR: no\nmore\n", "KeyError: 1"),
                         ("Running stage 'a':\n> cmd\nERROR: failed to reproduce 'a'\n", "failed to reproduce 'a'"),
                         ("", "it was killed")):
        log.write_text(text)
        assert why_it_failed(log) == reason


def test_a_list_without_rows_is_told_once(toy):
    (toy / "ablations" / "toys.yaml").write_text(LIST.replace("rows:", "row:"))
    assert refused("toys", root=toy).splitlines() == [
        "ablations/toys.yaml: unknown key `row`; did you mean `rows`?",
        "ablations/toys.yaml: `rows` is missing; expected title, preset, rows"]
