"""`make check-gpu`: what a GPU makes of the image side, in under ten minutes; one page of figures in results/gpu.md.

    python -m tools.check_gpu [--out results/gpu.md] [--commit NAME] [--steps rankings stages ...]

Each step is a process of its own (tests/gpu_checks.py) under its own time limit, so that none can stop the others; the
page is written anew after each. Exit status 1 if anything failed or took too long. Without CUDA there is nothing to do.
It needs no environment of its own: any Python that has the packages serves, and the machine needs no network.
"""

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools.gpu_page import FAILED, Check, Findings, Speed, page
from zeroshot.base.files import atomic_write

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = {"PIL": "pillow", "filelock": "filelock", "jaxtyping": "jaxtyping", "numpy": "numpy", "pydantic": "pydantic",
            "safetensors": "safetensors", "scipy": "scipy", "torch": "torch", "torchvision": "torchvision",
            "tqdm": "tqdm", "ruamel": "ruamel.yaml"}  # as imported -> as installed
WHOLE = 570  # seconds for all steps together
CHECKS = "tests.gpu_checks"
TAIL = 15  # lines of a traceback that the page shows


class Step(NamedTuple):
    """A step of tests/gpu_checks.py.

    Attributes:
        limit: seconds after which it is ended.
        advice: what to do where it fails.
    """

    limit: float
    advice: str


STEPS = {
    "about": Step(45, "torch cannot use the GPU: does `nvidia-smi` list it, and does torch's CUDA fit its driver?"),
    "rankings": Step(60, "rankings of a GPU and of a CPU must not be compared with each other until it is mended: look "
                         "at zeroshot/ranking/first_labels.py and at float32 products (TF32 must be off)."),
    "stages": Step(90, "an operation that a GPU refuses, or computes another way, is named in the traceback; bits that "
                       "differ between two runs are a kernel that varies: `deterministic: false` says so honestly."),
    "networks": Step(90, "with these networks take `pretrain_cnn.deterministic: false`, or another network; the "
                         "others are not concerned."),
    "processes": Step(75, "train with one process (no PET_NPROC_PER_NODE) until it is mended; NCCL_DEBUG=INFO says "
                          "more."),
    "training": Step(240, "out of memory: other programs on the GPU, or a smaller batch; else see the traceback."),
    "compiled": Step(75, "take `compile: false` (it needs a C compiler and Triton); results depend on it by rounding "
                         "only."),
    "tests": Step(150, "run the named test alone: `python -m pytest tests/<file> -k <name>`; a test that assumes the "
                       "CPU is marked `on_the_cpu`."),
}


def main() -> int:
    options = read_options()
    if missing := [install for name, install in PACKAGES.items() if not importlib.util.find_spec(name)]:
        print(f"check_gpu: nothing was checked, for {sys.executable} lacks {', '.join(missing)}; install them, or let "
              "PYTHONPATH name a folder that holds them")
        return 1
    import torch

    if not torch.cuda.is_available():
        print(f"check_gpu: torch {torch.__version__} sees no CUDA GPU here; nothing to check")
        return 0
    return run(options)


def run(options: argparse.Namespace) -> int:
    """Run the steps, write the page after each, print it; the exit status."""
    began = time.monotonic()
    facts = {"commit": options.commit or commit(), "command": "python -m tools.check_gpu"}
    checks: list[Check] = []
    speeds: list[Speed] = []
    findings, advice = Findings(facts, checks, speeds, options.trained), {n: step.advice for n, step in STEPS.items()}
    for number, name in enumerate(options.steps, 1):
        print(f"check_gpu: {name} ({number} of {len(options.steps)})", file=sys.stderr, flush=True)
        limit = min(STEPS[name].limit, options.seconds - (time.monotonic() - began))
        for note in run_step(name, limit, options.arguments):
            if isinstance(note, Check):
                checks.append(note)
            elif isinstance(note, Speed):
                speeds.append(note)
            else:
                facts.update(note)
        facts["taken"] = f"{time.monotonic() - began:.0f} s"
        with atomic_write(options.out) as file:
            file.write(page(findings, advice, complete=number == len(options.steps)))
    print(options.out.read_text(encoding="utf-8"))
    return int(any(check.result == FAILED for check in checks))


def run_step(name: str, limit: float, arguments: list[str]) -> Iterator[Check | Speed | dict[str, str]]:
    """What the step notes, until it ends or its time is over; of one that ends before its time, why."""
    if limit <= 0:
        yield Check(name, "the whole step", FAILED, 0, "no time was left for it")
        return
    with tempfile.TemporaryDirectory(prefix="zeroshot-gpu-") as folder:
        notes, log, began = Path(folder) / "notes", Path(folder) / "log", time.monotonic()
        command = [sys.executable, "-m", CHECKS, name, str(notes), *arguments]
        with open(log, "wb") as output:
            process = subprocess.Popen(command, cwd=PROJECT, stdout=output, stderr=output, start_new_session=True,
                                       env={**os.environ, "ZEROSHOT_SCRATCH": f"{folder}/scratch", "TMPDIR": folder})
            status = _wait(process, limit)
        under_way = None
        for line in notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []:
            kind, fields = json.loads(line)
            under_way = fields["name"] if kind == "began" else None if kind == "check" else under_way
            if kind != "began":
                yield {"check": Check, "speed": Speed, "facts": dict}[kind](**fields)
        if status:
            tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
            why = f"ended after {limit:.0f} s, its limit" if status == "limit" else f"ended with exit status {status}"
            yield Check(name, under_way or "the whole step", FAILED, time.monotonic() - began, why, [why, *tail])


def _wait(process: subprocess.Popen, limit: float) -> int | str:
    """Exit status, or "limit" where it had to be ended, with all that it started."""
    try:
        return process.wait(timeout=limit)
    except BaseException as error:  # also where someone presses Ctrl-C
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            return "limit"
        raise


def commit() -> str:
    """This checkout's, and whether files differ from it; a copy without git does not know."""
    unknown = "not known here (--commit names it)"
    if not (PROJECT / ".git").exists() or not shutil.which("git"):
        return unknown
    said = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"], cwd=PROJECT,
                          capture_output=True, text=True, check=False)
    return said.stdout.strip() or unknown


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PROJECT / "results" / "gpu.md")
    parser.add_argument("--commit", default="", help="the code's, for a copy without git")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS), metavar="STEP",
                        help=", ".join(STEPS))
    options = parser.parse_args()
    options.seconds, options.arguments = WHOLE, []
    options.trained = "ResNet-18 (3x3 stem), 64x64 pixels, bf16, compiled, channels-last"
    return options


if __name__ == "__main__":
    sys.exit(main())
