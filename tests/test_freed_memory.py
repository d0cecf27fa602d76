"""Blocks that a program frees are taken again, by the pages that the system had to clear for them."""

import os
import subprocess
import sys

import pytest

from zeroshot.running.freed_memory import ASKED_FOR
from zeroshot.running.scratch import PROJECT

BLOCKS = """if 1:
    import resource, numpy
    def cleared(blocks):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(blocks):
            numpy.ones((3, 5 << 20), numpy.uint8).sum(), numpy.ones(9 << 20, numpy.uint8).sum()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    cleared(2)
    print(cleared(20))"""


def pages_cleared(package: str, **environment: str) -> int:
    unasked = {name: value for name, value in os.environ.items() if name not in ASKED_FOR}
    return int(subprocess.run([sys.executable, "-c", f"import {package}\n{BLOCKS}"], cwd=PROJECT, check=True, text=True,
                              stdout=subprocess.PIPE, env={**unasked, **environment}).stdout)


@pytest.mark.skipif(not hasattr(os, "confstr") or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""),
                    reason="only GNU's C library is told")
@pytest.mark.parametrize("package", ["stages", "benchmarks", "zeroshot.__main__"])
def test_freed_blocks_are_taken_again_unless_the_user_asks_otherwise(package):
    assert pages_cleared(package) < 1000
    assert pages_cleared(package, MALLOC_TRIM_THRESHOLD_="0", MALLOC_MMAP_THRESHOLD_="1000000") > 7680  # 64 KB a page
