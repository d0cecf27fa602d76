"""The promises that dvc.yaml, params.yaml and the code make to each other."""

import importlib
import inspect
import re
import shutil

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from tools.preset import merged, preset_names
from tools.stage_deps import (
    PROJECT,
    code_deps,
    declared_code,
    import_closure,
    imported_modules,
    stage_bodies,
    stage_module,
    with_deps,
)
from zeroshot.base.params import read_yaml

STAGES = stage_bodies(read_yaml(PROJECT / "dvc.yaml"))


def main_of(body):
    return importlib.import_module(stage_module(body)).main


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_declares_exactly_the_code_that_it_imports(name):
    assert code_deps(STAGES[name]) == declared_code(stage_module(STAGES[name])), "run `make deps`"


def test_make_deps_mends_the_code_and_leaves_the_rest():
    text = (PROJECT / "dvc.yaml").read_text()
    assert with_deps(text) == text and len(text.splitlines()) < 420
    without_code = re.sub(r"zeroshot/(?!base)\w+(\.py)?,\s+", "", text)
    assert "zeroshot/networks" not in without_code and with_deps(without_code) == text
    one_per_line = text.replace("deps: [stages/fetch_wordnet.py, zeroshot/base]",
                                "deps:\n    - zeroshot/console\n    - stages/fetch_wordnet.py")
    assert one_per_line != text and with_deps(one_per_line) == text


@pytest.mark.parametrize("name", STAGES)
def test_a_command_gives_its_stage_exactly_the_flags_that_it_takes(name):
    taken = {argument: parameter for argument, parameter in inspect.signature(main_of(STAGES[name])).parameters.items()
             if argument != "params"}
    given = {flag.replace("-", "_") for flag in re.findall(r" --([a-z-]+)", STAGES[name]["cmd"])}
    required = {argument for argument, parameter in taken.items() if parameter.default is inspect.Parameter.empty}
    assert required <= given <= set(taken)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_says_what_it_does_has_a_file_of_its_name_and_tests(name):
    module = stage_module(STAGES[name]).removeprefix("stages.")
    assert STAGES[name]["desc"] and name.startswith(module)
    assert (PROJECT / "tests" / f"test_{module}.py").exists()


@pytest.mark.parametrize("preset", [None, *preset_names()])
def test_every_params_section_holds_exactly_what_its_stage_takes(preset):
    sections = YAML(typ="safe").load(merged(preset)) if preset else read_yaml(PROJECT / "params.yaml")
    taking = {}
    for body in STAGES.values():
        arguments = inspect.signature(main_of(body)).parameters
        if "params" in arguments:
            taking[stage_module(body).removeprefix("stages.")] = arguments["params"].annotation
    assert set(sections) == set(taking)
    for section, model in taking.items():
        model.model_validate(sections[section])


def test_every_param_is_tracked_by_the_stage_that_reads_it():
    for name, body in STAGES.items():
        if "params" in inspect.signature(main_of(body)).parameters:
            section = stage_module(body).removeprefix("stages.")
            assert any(param.split(".")[0] == section for param in body["params"]), name


IMPORTS = {  # what a package of zeroshot/ may import besides itself; imports run downward only
    "console": (),
    "base": ("console",),
    "running": ("base", "console"),
    "taxonomy": ("base", "console"),
    "images": ("base", "console"),
    "terms": ("base", "console"),
    "skipgram": (),
    "devise": ("base", "console"),
    "closed_form": ("base", "console"),
    "evaluation": ("base", "console"),
    "text": ("base", "console", "terms"),
    "image_sets": ("base", "console", "images", "taxonomy"),
    "labels": ("base", "console", "images", "taxonomy", "terms"),
    "networks": ("base", "console", "images"),
    "ranking": ("base", "console", "images", "labels"),
    "training": ("base", "console", "running", "networks"),
    "naming": ("base", "console", "running", "taxonomy", "images", "terms", "closed_form", "evaluation", "image_sets",
               "labels", "networks", "ranking"),
    "report": ("base", "console", "taxonomy", "images", "evaluation", "labels", "ranking"),
    "serving": ("base", "console", "evaluation", "images", "naming"),
    "__main__": ("base", "console", "running", "images", "naming", "serving"),
}


def test_imports_run_downward_by_the_table():
    found = {path.stem if path.suffix else path.name for path in (PROJECT / "zeroshot").iterdir()}
    assert found - {"__init__", "__pycache__"} == set(IMPORTS)
    for place, (package, allowed) in enumerate(IMPORTS.items()):
        assert set(allowed) < set(list(IMPORTS)[:place]) | {""}
        for file in [PROJECT / "zeroshot" / f"{package}.py", *(PROJECT / "zeroshot" / package).glob("*.py")]:
            if file.exists():
                names = {name.split(".")[1] for name in imported_modules(file) if name.startswith("zeroshot.")}
                assert names <= {package, *allowed}, (file, names)


def test_a_reworded_message_reruns_nothing_and_a_changed_base_everything(tmp_path):
    """What `dvc status` says, in a copy without data, before and after."""
    for name in ("stages", "zeroshot", "presets"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "dvc.lock", "params.yaml", ".dvcignore"):
        shutil.copy(PROJECT / name, tmp_path / name)
    Repo.init(str(tmp_path), no_scm=True).close()

    def status() -> dict:
        with Repo(str(tmp_path)) as repo:
            return repo.status()

    def reword(name: str, old: str, new: str) -> None:
        text = (tmp_path / name).read_text()
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new))

    before = status()
    reword("zeroshot/console/refusals.py", "no such file", "is not there")
    reword("zeroshot/running/stage.py", "a disk is full", "there is no room")
    assert status() == before
    reword("zeroshot/base/files.py", "Files that are whole", "Files which are whole")
    changed = [name for name, faults in status().items()
               if any("zeroshot/base" in fault.get("changed deps", {}) for fault in faults if isinstance(fault, dict))]
    assert len(changed) >= len(STAGES)


def test_no_shell_reads_what_params_hold():
    """Only a kind of label vectors and ConSE's T, which their stages' `Params` restrict to words and numbers."""
    allowed = {"item", "key", "fit_closed_form.label_vectors"}
    for name, body in STAGES.items():
        assert set(re.findall(r"\$\{([\w.]+)\}", body["cmd"])) <= allowed, name


def test_no_stage_imports_a_stage_and_the_library_imports_none():
    for folder in ("stages", "zeroshot"):
        for file in (PROJECT / folder).rglob("*.py"):
            closure = [other for name in imported_modules(file) for other in import_closure(name)]
            assert not [other for other in closure if other.parts[0] == "stages"], file.name


def test_whatever_takes_long_comes_back_from_the_run_cache():
    """DVC keeps no run of a stage that has an output which is neither cached nor a metric or a plot."""
    def uncached(out):
        return isinstance(out, dict) and not next(iter(out.values())).get("cache", True)

    assert {name for name, body in STAGES.items() if any(map(uncached, body.get("outs", [])))} == {
        "build_label_sets", "evaluate_terms", "embed_labels", "evaluate", "evaluate_conse", "make_tables",
        "explain_failures"}


def test_nothing_loads_pickles_or_extracts_archives():
    """But for one unpickler, of gensim's vectors and CIFAR's batches, which admits arrays and plain values only."""
    forbidden = re.compile(r"pickle\.load|Unpickler|allow_pickle=True|weights_only=False|extractall\(|\.extract\(")
    exceptions = {"zeroshot/base/pickles.py": {"Unpickler"}}
    for file in [file for folder in ("stages", "zeroshot", "tools") for file in (PROJECT / folder).rglob("*.py")]:
        name = file.relative_to(PROJECT).as_posix()
        assert set(forbidden.findall(file.read_text())) == exceptions.get(name, set()), name
