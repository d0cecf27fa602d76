"""`python -m tools.keep_results NAME "time taken"`: keep this run's tables in results/NAME, and what made them."""

import datetime
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from zeroshot.base.params import read_yaml

TABLES = ("overview.md", "flat_hit.md", "hierarchical_precision.md", "nearest_terms.md", "label_sets.md", "results.csv")
FIGURES = ("label_map.png",)  # not answers.png: the photographs in it belong to others
VERSIONS = ("dvc", "gensim", "numpy", "torch", "torchvision")


def main(name: str, taken: str) -> None:
    out = Path("results") / name
    out.mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        shutil.copy(Path("metrics/tables") / table, out / table)
    for figure in FIGURES:
        shutil.copy(Path("plots") / figure, out / figure)
    (out / "README.md").write_text("\n".join(about(name, taken)) + "\n", encoding="utf-8")


def about(name: str, taken: str) -> list[str]:
    """Lines of Markdown."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in VERSIONS)
    return [f"# {name}", "", f"- date: {datetime.date.today()}; code: commit {commit}", f"- time taken: {taken}",
            f"- hardware: {hardware()}", f"- Python {platform.python_version()}, {versions}",
            "- params that differ from the demo's:", "", "```yaml", *changed_params(), "```"]


def hardware() -> str:
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.partition(": ")[2] for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
             ] if cpuinfo.exists() else [platform.processor()]
    return f"{os.cpu_count()} CPU cores ({names[0] if names else platform.machine()}), {', '.join(gpus) or 'no GPU'}"


def changed_params() -> list[str]:
    """`section.key: value` of all that params.yaml has otherwise than the demo; of inputs, not where they lie.

    Sections that begin with x- are the user's own, for anchors.
    """
    demo, here = (read_yaml(Path(path)) for path in ("presets/demo.yaml", "params.yaml"))
    return [f"{section}.{key}: {value if not str(value).startswith('/') else '(the path of the input)'}"
            for section in here if not section.startswith("x-")
            for key, value in here[section].items() if demo.get(section, {}).get(key) != value]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
