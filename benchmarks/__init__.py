"""Our speed beside the bare computation's, in one run."""

import zeroshot.base.processor  # noqa: F401  before numpy and torch
import zeroshot.running.freed_memory  # noqa: F401
import zeroshot.running.spinning  # noqa: F401
