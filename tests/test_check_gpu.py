import argparse
import ast
import json
import os
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import gpu_checks, gpu_rankings
from tests.gpu_notes import Notes, NotRunError, close, same
from tools import check_gpu
from tools.check_gpu import PACKAGES, PROJECT, STEPS, Step
from tools.gpu_page import FAILED, NOT_RUN, PASSED, Check, Findings, Speed, page
from tools.stage_deps import import_closure, imported_modules
from zeroshot.base.artifacts import write_artifact

CHILD = """
    import json, os, pathlib, sys, time
    step, notes = sys.argv[1], open(sys.argv[2], "a")

    def note(kind, **fields):
        print(json.dumps([kind, fields]), file=notes, flush=True)

    def gives(result, seen="", tail=()):
        note("began", name="it")
        note("check", step=step, name="it", result=result, seconds=1.5, seen=seen, tail=tail)

    if step == "good":
        note("facts", GPU="made up")
        gives("passed", "7 | 8")
    elif step == "bad":
        pathlib.Path("page then").write_text(pathlib.Path("page").read_text())
        gives("failed", "no kernel", ["File x", "RuntimeError: no kernel"])
    elif step == "late":
        note("speed", batch=512, deterministic=True, ours=1234.5, bare=2000)
        gives("passed")
        note("began", name="the long one")
        if os.fork() == 0:
            time.sleep(2.1)
            pathlib.Path("still there").touch()
        time.sleep(60)
    elif step == "dead":
        note("began", name="the crash")
        print("Fatal: it died", file=sys.stderr, flush=True)
        os.abort()
"""
PAGE = """\
# On a GPU

- GPU: made up
- checks: 1 passed, 1 failed, 1 not run

## Training speed

Images a second, of a net; the bare loop is torch's on one batch that lies ready on the GPU.

| batch | deterministic off | bare loop, off | deterministic on | bare loop, on |
|---|---|---|---|---|
| 512 | 1,234 | 2,000 | 900 | 1,000 |
| 4096 | - | - | 3 | 4 |

## Checks

| step | check | result | seconds | seen |
|---|---|---|---|---|
| a | first | passed | 1.2 | 7 \\| 8 |
| b | second | failed | 0.0 | no kernel |
| b | third | not run | 0.0 | one GPU |

## What failed

### b

What to do: mend it.

second:

    File x
    RuntimeError: no kernel
"""


def test_without_a_gpu_it_says_so_and_ends_well(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["check_gpu"])
    assert check_gpu.main() == 0
    said = f"check_gpu: torch {torch.__version__} sees no CUDA GPU here; nothing to check\n"
    assert capsys.readouterr() == (said, "")


def test_packages_that_are_missing_are_named_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(check_gpu, "PACKAGES", {"torch": "torch", "no_such_one": "no-such-one", "nor_this": "nor-this"})
    monkeypatch.setattr(sys, "argv", ["check_gpu"])
    assert check_gpu.main() == 1
    [line] = capsys.readouterr().out.splitlines()
    assert "lacks no-such-one, nor-this; install them" in line


def test_the_packages_are_those_that_the_steps_import():
    own = [f"tests/{name}.py" for name in ("gpu_checks", "gpu_notes", "gpu_rankings", "gpu_stages", "all_stages",
                                           "vision", "image_sets", "processes")]
    own += ["benchmarks/bench_training.py", "tools/check_gpu.py", "tools/gpu_page.py"]
    files = {Path(file) for file in own} | {file for name in own for module in imported_modules(PROJECT / name)
                                            for file in import_closure(module)}
    found = set()
    for node in (node for file in files for node in ast.walk(ast.parse((PROJECT / file).read_text()))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
            found |= {name.partition(".")[0] for name in names}
    theirs = found - {*sys.stdlib_module_names, "stages", "zeroshot", "tools", "tests", "benchmarks"}
    assert theirs - {"timm"} == set(PACKAGES)  # timm is loaded for its own networks only


def test_the_page():
    checks = [Check("a", "first", PASSED, 1.24, "7 | 8"), Check("b", "second", FAILED, 0, "no\nkernel", [
        "File x", "RuntimeError: no kernel"]), Check("b", "third", NOT_RUN, 0, "one GPU")]
    speeds = [Speed(4096, True, 3, 4), Speed(512, False, 1234.4, 2000), Speed(512, True, 900, 1000)]
    text = page(Findings({"GPU": "made up"}, checks, speeds, "of a net"), {"b": "mend it."}, complete=True)
    lines = text.split("\n")
    assert lines.pop(2).startswith("- date: 20") and "\n".join(lines) == PAGE
    assert "## What failed" not in page(Findings({}, checks[:1], []), {}, complete=True)
    assert "; not complete: " in page(Findings({}, [], []), {}, complete=False)


@pytest.fixture
def ran(tmp_path, monkeypatch, capsys):
    """Made-up steps, of which one fails, one crashes and one goes on for too long."""
    (tmp_path / "made_up.py").write_text(textwrap.dedent(CHILD))
    for name, value in (("PROJECT", tmp_path), ("CHECKS", "made_up"), ("STEPS", {
            name: Step(2 if name == "late" else 30, f"mend {name}") for name in ("bad", "late", "dead", "good")})):
        monkeypatch.setattr(check_gpu, name, value)

    def run(*steps, seconds=100):
        status = check_gpu.run(argparse.Namespace(out=tmp_path / "page", commit="abc", steps=steps, seconds=seconds,
                                                  arguments=[], trained="of a net"))
        text = (tmp_path / "page").read_text()
        assert capsys.readouterr().out == text + "\n"
        return status, text
    return tmp_path, run


def test_a_step_that_fails_crashes_or_is_late_does_not_stop_the_others(ran):
    folder, run = ran
    status, text = run("late", "bad", "dead", "good")
    assert status == 1 and "- commit: abc\n" in text and "- GPU: made up\n" in text
    assert "- checks: 2 passed, 3 failed, 0 not run\n" in text
    for row in ("| late | it | passed | 1.5 |  |", "| bad | it | failed | 1.5 | no kernel |",
                "| good | it | passed | 1.5 | 7 \\| 8 |", "| 512 | - | - | 1,234 | 2,000 |"):
        assert row + "\n" in text
    assert "What to do: mend late\n\nthe long one:\n\n    ended after 2 s, its limit\n" in text
    assert "What to do: mend dead\n\nthe crash:\n\n    ended with exit status -6\n    Fatal: it died\n" in text
    assert "What to do: mend bad\n\nit:\n\n    File x\n    RuntimeError: no kernel\n" in text
    assert "not complete" not in text and "not complete" in (folder / "page then").read_text()
    assert not (folder / "still there").exists()


def test_when_all_is_well_the_exit_status_is_0(ran):
    assert ran[1]("good")[0] == 0


def test_the_whole_has_a_limit_too(ran):
    status, text = ran[1]("bad", "good", seconds=0)
    assert status == 1 and "| good | the whole step | failed | 0.0 | no time was left for it |" in text


def test_the_tools_steps_are_those_of_the_checks():
    assert list(STEPS) == list(gpu_checks.STEPS) and all(step.advice.endswith(".") or step.advice.endswith("?")
                                                         for step in STEPS.values())


def noted(step, folder, function=None):
    """What a step notes, the CPU standing in for the GPU: its checks by name, and the rest."""
    notes = Notes(step, folder / "notes")
    (function or gpu_checks.step(step))(notes, True)
    lines = [json.loads(line) for line in (folder / "notes").read_text().splitlines()]
    return ({fields["name"]: Check(**fields) for kind, fields in lines if kind == "check"},
            [fields for kind, fields in lines if kind not in ("check", "began")])


@pytest.mark.on_the_cpu("little work, in which the CPU stands in for the GPU")
@pytest.mark.parametrize(("step", "number"), [("about", 1), ("rankings", 4), ("stages", 8), ("networks", 2),
                                              ("processes", 3), ("training", 4), ("compiled", 3)])
def test_each_step_passes_with_the_cpu_in_the_gpus_place(tmp_path, monkeypatch, step, number):
    real_compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network: real_compile(network, backend="eager"))
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))
    with torch._inductor.config.patch(deterministic=False):
        checks, others = noted(step, tmp_path)
    torch._dynamo.reset()
    assert len(checks) == number and [check for check in checks.values() if check.result == FAILED] == []
    assert [name for name, check in checks.items() if check.result == NOT_RUN] == (
        ["two processes on two GPUs (NCCL): one's step, and the same features"] if step == "processes" else [])
    if step == "training":
        assert [(speed["batch"], speed["deterministic"]) for speed in others] == [
            (8, False), (8, True), (16, False), (16, True)] and min(speed["ours"] for speed in others) > 0


def test_rankings_that_differ_are_found(tmp_path, monkeypatch):
    calls, right = [], gpu_rankings.rank_on

    def wrong(*world):
        """Every second time, the first two labels in each other's place."""
        ranked = right(*world)
        calls.append(1)
        return {name: (top[:, [1, 0, *range(2, 20)]], rank) if len(calls) % 2 else (top, rank)
                for name, (top, rank) in ranked.items()}

    monkeypatch.setattr(gpu_rankings, "rank_on", wrong)
    checks, _ = noted("rankings", tmp_path)
    assert [check.result for check in checks.values()] == [FAILED, PASSED, FAILED, FAILED]
    assert [check.seen.partition(" ")[2][:20] for check in checks.values() if check.result == FAILED] == [
        "512 of 5120 of the f", "stand in each other'", "runs differ"]
    assert any("AssertionError" in line for line in list(checks.values())[0].tail)


def test_the_exact_world_is_exact_in_half_the_digits_and_full_of_ties():
    vectors, points, _ = gpu_rankings.exact_world(600, 64)
    assert (np.linalg.norm(points, axis=1) == 4).all()
    cosines = torch.from_numpy(vectors) @ torch.from_numpy(points / 4).T
    assert torch.equal(cosines.double(), torch.from_numpy(vectors).double() @ torch.from_numpy(points / 4).double().T)
    rounded = torch.from_numpy(vectors).bfloat16()
    assert torch.equal(rounded.float(), torch.from_numpy(vectors)) and len(cosines[:, 0].unique()) < 300


def test_files_and_numbers_that_differ_are_found(tmp_path):
    for name, value in (("a", 1.0), ("b", 1.002)):
        write_artifact(tmp_path / name / "x.safetensors", {}, {"w": np.array([value, -2.0], np.float32)})
    assert same(tmp_path, "a", "a") == "1 files"
    with pytest.raises(AssertionError, match=r"1 of 1 files differ: x.safetensors"):
        same(tmp_path, "a", "b")
    assert close(tmp_path, "a", "b", ["x"], 2e-3) == "largest difference 1.0e-03"
    with pytest.raises(AssertionError, match=r"x: w differs by 0.001 of its largest number"):
        close(tmp_path, "a", "b", ["x"], 1e-4)


def test_the_tests_own_step_names_what_failed(tmp_path, monkeypatch):
    (tmp_path / "test_it.py").write_text("def test_good(): pass\ndef test_bad(): assert False\n")
    files = ["-n0", "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path / "test_it.py")]
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # some load large libraries
    monkeypatch.setenv("PYTEST_PLUGINS", "xdist.plugin")
    assert gpu_checks.run_pytest([*files, "-k", "good"]).startswith("1 passed")
    with pytest.raises(RuntimeError, match=r"(?s)1 failed.*FAILED .*test_bad"):
        gpu_checks.run_pytest([*files, "-n1"])
    with pytest.raises(NotRunError, match="no test"):
        gpu_checks.run_pytest([*files, "-k", "neither"])
    monkeypatch.setattr(gpu_checks.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotRunError, match="pytest, hypothesis not installed"):
        gpu_checks.run_pytest(files)


def test_what_cannot_be_run_is_no_failure(tmp_path):
    def step(notes, small):
        notes.check("one", lambda: (_ for _ in ()).throw(NotRunError("no second GPU")))
        notes.check("two", lambda: sys.exit("a stage that ends"))

    checks, _ = noted("made up", tmp_path, step)
    assert checks["one"][2:5:2] == (NOT_RUN, "no second GPU")
    assert checks["two"].result == FAILED and checks["two"].seen == "a stage that ends"
