"""What the libraries compute with must not depend on the processor; stages/__init__.py imports this before numpy.

Each library picks its kernels by the processor's instructions, and some by its maker and its number of cores: sums run
in another order then, and the last bits differ. Here they are told to do what every x86-64 processor with AVX2 can.
docs/processors.md says what each setting costs. On other processors (arm64, or x86-64 before 2013) nothing is set.
"""

import os
import platform
from pathlib import Path

CHEAP = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own loops
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # numpy's, by their names in numpy 2.4
    "OPENBLAS_CORETYPE": "Haswell",  # products of numpy, scipy and gensim
    "OPENBLAS_NUM_THREADS": "1",  # by default as many as the machine has cores, and sums are split by it
}
DEAR = {  # libraries read these at their first use, so a stage can still choose
    "MKL_CBWR": "COMPATIBLE",  # torch's products and decompositions; the one mode that all makers' processors share
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # torch's convolutions
}
CPUINFO = Path("/proc/cpuinfo")
OTHERS = ("NPY_ENABLE_CPU_FEATURES", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")


def has_avx2(cpuinfo: Path = CPUINFO) -> bool:
    """Whether this is an x86-64 processor under Linux with AVX2 and FMA, which came with it."""
    return {"avx2", "fma"} <= _flags(cpuinfo)


def is_amd_with_avx512(cpuinfo: Path = CPUINFO) -> bool:
    """Whether MKL leaves half of this processor idle: it has AVX-512, which MKL uses on Intel's own only."""
    return "avx512f" in _flags(cpuinfo) and "AuthenticAMD" in cpuinfo.read_text()


def _flags(cpuinfo: Path) -> set[str]:
    if platform.machine() != "x86_64" or not cpuinfo.exists():
        return set()
    return set(next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "").split())


def settle_libraries() -> None:
    """Put the cheap settings in place of whatever the user's environment holds; processes started later inherit them.

    Results are decided by params.yaml alone, so what would change their bits is not taken from there.
    """
    if has_avx2():
        for name in OTHERS:
            os.environ.pop(name, None)
        os.environ.update(CHEAP)


def settle_products(any_processor: bool) -> None:
    """Before the first product: the same bits on any processor, or the fastest kernels of this one."""
    for name, value in DEAR.items():
        if any_processor and has_avx2():
            os.environ[name] = value
        else:
            os.environ.pop(name, None)


def are_products_settled() -> bool:
    """Whether `settle_products` asked for the same bits on any processor, and this is one of those."""
    return has_avx2() and DEAR.items() <= os.environ.items()


settle_libraries()
