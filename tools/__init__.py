"""What `make` calls beside the stages. Nothing here changes a result."""

import zeroshot.base.processor  # noqa: F401  before numpy and torch
import zeroshot.running.spinning  # noqa: F401
