"""`python -m tools.fetch_cifar FOLDER cifar-100`: download a data set's python archive, unless some version is there.

`index_images.cifar.fetch: true` calls this. Exit status 1 and one line if it cannot be had.
"""

import sys
from pathlib import Path

import zeroshot.networks.torchvision_guard  # noqa: F401  isort: skip  (before torchvision)
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import download_url

from zeroshot.console.errors import InputError
from zeroshot.image_sets.cifar_files import VERSIONS, find_version, missing, place_of

SETS = {"cifar-100": CIFAR100, "cifar-10": CIFAR10}


def main(root: Path, dataset: str) -> None:
    """Raises InputError: both versions there, or no network."""
    python = VERSIONS[dataset][0]
    if any(place_of(root, version) for version in VERSIONS[dataset]):
        find_version(root, dataset)
        return
    try:
        download_url(SETS[dataset].url, str(root), python.archive, python.md5)
    except (OSError, RuntimeError) as error:
        said = " ".join(str(error).split())[:100]
        raise InputError(f"{missing(root, dataset).split('; index_images.images')[0]}; its download failed ({said})"
                         ) from None


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2] not in SETS:
        sys.exit(__doc__)
    try:
        main(Path(sys.argv[1]), sys.argv[2])
    except InputError as error:
        sys.exit(str(error))
