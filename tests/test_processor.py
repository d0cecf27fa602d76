"""The same bits on another processor: what is set, that nothing in the environment undoes it, and the digests."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.probe_processor import PROBES, RECORDED, digest, exact
from tools.stage_deps import BASE, PROJECT, declared_code
from zeroshot.base.processor import CHEAP, DEAR, OTHERS, has_avx2, is_amd_with_avx512, settle_libraries, settle_products

AVX2 = pytest.mark.skipif(not has_avx2(), reason="nothing is promised on a processor without AVX2")
CONTRARY = {"ATEN_CPU_CAPABILITY": "default", "OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "5",
            "NPY_ENABLE_CPU_FEATURES": "X86_V3", "MKL_CBWR": "AVX2", "ONEDNN_MAX_CPU_ISA": "SSE41",
            "DNNL_MAX_CPU_ISA": "SSE41", "ONEDNN_DEFAULT_FPMATH_MODE": "BF16", "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1"}


def run(*arguments, **environment) -> str:
    return subprocess.run([sys.executable, *arguments], cwd=PROJECT, env={**os.environ, **environment}, text=True,
                          stdout=subprocess.PIPE).stdout


@AVX2
def test_every_probe_gives_the_recorded_digest_whatever_the_environment_asks_for(probed):
    found = dict(re.findall(r"^(\w+) +([0-9a-f]{16}) \w+$", probed, re.M))
    recorded = json.loads(RECORDED.read_text())
    assert {name for name in recorded if found.get(name) != recorded[name]} == set()
    assert list(found) == list(recorded) == [probe.__name__ for probe in PROBES]


@pytest.fixture(scope="module")
def probed():
    """What a process says whose environment asks for the contrary: how libraries start, and the probes' digests."""
    code = """if 1:
        import stages
        import numpy, scipy.linalg, torch
        from threadpoolctl import threadpool_info
        from numpy._core._multiarray_umath import __cpu_features__
        blas = [found for found in threadpool_info() if found["internal_api"] == "openblas"]
        print(torch.backends.cpu.get_cpu_capability(), __cpu_features__["X86_V4"], len(blas),
              {(found["architecture"], found["num_threads"]) for found in blas})
        import runpy
        runpy.run_module("tools.probe_processor", run_name="__main__")"""
    return run("-c", code, **CONTRARY)


@AVX2
def test_libraries_start_as_settled(probed):
    assert probed.startswith("AVX2 False 2 {('Haswell', 1)}\n")


@AVX2
def test_whatever_is_started_settles_the_same_before_libraries_are_loaded():
    packages = ("stages", "benchmarks", "tools")
    found = [run("-c", f"import os, sys, {package}; print({{'numpy', 'torch', 'scipy'}} & {{*sys.modules}}, "
                       "sorted(os.environ.items()))", **CONTRARY) for package in packages]
    assert found == found[:1] * len(packages) and found[0].startswith("set() [(")


@AVX2
def test_a_stage_chooses_between_any_processor_and_this_one(monkeypatch):
    for name in DEAR:
        monkeypatch.setenv(name, "something else")
    settle_products(True)
    assert {name: os.environ[name] for name in DEAR} == DEAR
    settle_products(False)
    assert not set(DEAR) & set(os.environ)


@pytest.mark.parametrize(("machine", "flags", "expected"), [
    ("x86_64", "fpu fma avx avx2", True), ("x86_64", "fpu avx", False), ("x86_64", "fpu avx2", False),
    ("aarch64", "fma avx2", False), ("x86_64", None, False)])
def test_only_a_processor_with_avx2_is_told_anything(monkeypatch, tmp_path, machine, flags, expected):
    monkeypatch.setattr("platform.machine", lambda: machine)
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"model name\t: X\nflags\t\t: {flags}\nbugs\t: none\n")
    assert has_avx2(tmp_path / "cpuinfo") == expected


@pytest.mark.parametrize(("maker", "flags", "expected"), [
    ("AuthenticAMD", "avx2 avx512f", True), ("AuthenticAMD", "avx2", False), ("GenuineIntel", "avx2 avx512f", False)])
def test_amd_processors_with_avx512_are_told_apart(monkeypatch, tmp_path, maker, flags, expected):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (tmp_path / "cpuinfo").write_text(f"vendor_id\t: {maker}\nmodel name\t: X\nflags\t\t: {flags}\n")
    assert is_amd_with_avx512(tmp_path / "cpuinfo") == expected


def test_where_there_is_no_avx2_the_environment_is_left_alone(monkeypatch):
    monkeypatch.setattr("zeroshot.base.processor.has_avx2", lambda: False)
    for name in (*CHEAP, *OTHERS):
        monkeypatch.setenv(name, "the user's")
    before = dict(os.environ)
    settle_libraries()
    assert dict(os.environ) == before


def test_every_stage_declares_the_file_that_holds_the_settings():
    modules = [f"stages.{path.stem}" for path in (PROJECT / "stages").glob("[!_]*.py")]
    assert len(modules) > 20 and all(BASE in declared_code(module) for module in modules)
    assert (Path(PROJECT) / BASE / "processor.py").exists()


def test_a_digest_tells_bits_and_shapes_apart():
    x = exact(4, 6)
    assert digest([x]) == digest([x.copy()])
    assert len({digest([some]) for some in (x, x.T, x.ravel(), -x, x.astype("float64"), x + 2e-7)}) == 6
