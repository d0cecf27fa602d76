"""Using what was trained: a model as one folder, pictures, labels of one's own, answers, search by words."""

import zeroshot.base.processor  # noqa: F401  before numpy and torch, where they are not loaded yet
