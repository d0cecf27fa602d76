
import zeroshot.base.processor  # noqa: F401  before numpy and torch
