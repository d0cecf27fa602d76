"""One file per DVC stage, named as in dvc.yaml. Run one by hand with `python -m stages.<name> --help`."""

import os

PARENT = os.getppid()  # before a stage's slow imports, in which the parent may be killed; see zeroshot.base.stage
