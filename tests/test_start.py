"""What naming loads before its first answer: importing is most of the time that one picture takes."""

import subprocess
import sys

from tests.model_world import picture
from zeroshot.running.scratch import PROJECT

UNNEEDED = {"scipy", "sklearn", "pandas", "nltk", "gensim", "dvc", "pydantic", "ruamel", "matplotlib", "starlette",
            "jinja2", "torchvision", "timm", "sympy"}  # its network is none of the last two's


def test_one_picture_is_named_without_what_it_does_not_need(model_folder, tmp_path):
    picture(0).save(tmp_path / "a.png")
    program = ("import sys; from zeroshot.__main__ import main; status = main(); "
               "print(status, *sorted({name.partition('.')[0] for name in sys.modules}))")
    named = [sys.executable, "-c", program, "name", str(tmp_path / "a.png"), "--from", str(model_folder)]
    ran = subprocess.run(named, cwd=PROJECT, capture_output=True, text=True)
    status, *loaded = ran.stdout.splitlines()[-1].split()
    assert status == "0", ran.stderr
    assert "torch" in loaded and not UNNEEDED & set(loaded)
