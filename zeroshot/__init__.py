"""What two or more stages share: types with their read/write pair, and pure functions. And the models in use:

    import zeroshot
    zeroshot.load_model("data/model").name("cat.jpg")
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zeroshot.naming.model import Model


def load_model(folder: str | os.PathLike = "data/model", *, threads: int | None = None) -> "Model":
    """A trained model, as `export_model` writes it; see zeroshot.naming.model.Model. Loads torch when it is first used.

    Args:
        folder: the model; it may be copied anywhere.
        threads: CPU threads; None: as many as in the run, whose answers are the same to the label then.

    Raises:
        InputError: no model there, one of another version, half copied or damaged.
    """
    from zeroshot.naming.model import Model

    return Model(folder, threads=threads)
