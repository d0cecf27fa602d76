"""Importing this makes a process look for its source files once, not for each of its checkpoints' folders.

The digest of the code looks for the project's files among all that are loaded: in tests thousands, so that it takes
longer than most of their trainings. It is made anew when more modules are loaded.
"""

import functools
import sys

from zeroshot.running import scratch

_digest_of = functools.cache(lambda project, modules, digest=scratch.code_digest: digest())
scratch.code_digest = lambda: _digest_of(scratch.PROJECT, len(sys.modules))
