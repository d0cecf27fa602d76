"""What the models are called in tables and figures."""

import re

NAMES = {"softmax": "Softmax baseline", "random": "Random embedding", "devise": "DeViSE"}  # and their order
BESIDE = {"hierse": "HierSE", "ridge": "Ridge regression", "eszsl": "ESZSL",
          "exemplars": "Predicted exemplars"}  # the papers lack them

NOT_MEASURED = "# not measured: "  # begins the scores of a model that has none; why follows


def is_model(name: str) -> bool:
    """Whether some run could have a model of this name."""
    return name in NAMES or name in BESIDE or re.fullmatch(r"conse-[1-9]\d*", name) is not None


def display_name(model: str) -> str:
    return NAMES.get(model) or BESIDE.get(model) or re.sub(r"^conse-(\d+)$", r"ConSE(\1)", model)
