"""timm by one architecture: of a little timm of our own, which says what runs and can differ, and of the real one."""

import importlib.util
import os
import subprocess
import sys

import pytest

from zeroshot.running.scratch import PROJECT

LIBRARIES = {
    "timm/__init__.py": "print('timm')\nfrom .version import __version__\nfrom .layers import Layer\n"
                        "from .models import create_model, is_model, list_models\n",
    "timm/version.py": "__version__ = '1'\n",
    "timm/layers.py": "from torchvision.models.feature_extraction import create_feature_extractor, "
                      "get_graph_node_names\nfrom torchvision.ops.misc import Frozen\nclass Layer: pass\n"
                      "def extracted(): return create_feature_extractor('net')\n",
    "timm/optim.py": "",
    "timm/data/__init__.py": "print('timm.data')\nfrom .constants import *\nfrom .readers import read\n",
    "timm/data/constants.py": "MEAN = 0.5\n",
    "timm/data/readers.py": "import timm.models\ndef read(): return 'read'\n",
    "timm/models/__init__.py": "print('timm.models')\nfrom .large import *\nfrom .small import *\n"
                               "from ._factory import create_model\nfrom ._registry import is_model, list_models\n",
    "timm/models/_registry.py": "known = {}\ndef register_model(build):\n    known[build.__name__] = build\n"
                                "    return build\ndef is_model(name): return name.split('.')[0] in known\n"
                                "def list_models(): return sorted(known)\n",
    "timm/models/_hub.py": "from timm import __version__\ntry:\n    import huggingface_hub\n    has = True\n"
                           "except ImportError:\n    has = False\ndef has_hub(): return has\n",
    "timm/models/_factory.py": "from ._registry import known\n"
                               "def create_model(name, **given): return known[name.split('.')[0]](**given)\n",
    "timm/models/large.py": "print('large')\nfrom ._registry import register_model\n__all__ = ['Large']\n"
                            "class Large: pass\n@register_model\ndef large(): return Large()\n",
    "timm/models/small.py": "from timm.data import MEAN\nfrom timm.layers import Layer\nfrom ._hub import has_hub\n"
                            "from ._registry import register_model\n__all__ = ['Small']\n"
                            "class Small(Layer): mean = MEAN\n@register_model\ndef small(): return Small()\n",
    "torchvision/__init__.py": "print('torchvision')\nfrom torchvision import models, ops\n",
    "torchvision/ops/__init__.py": "from .misc import Frozen\n",
    "torchvision/ops/misc.py": "class Frozen: pass\n",
    "torchvision/models/__init__.py": "",
    "torchvision/models/feature_extraction.py": "def create_feature_extractor(net): return f'of {net}'\n"
                                                "def get_graph_node_names(net): pass\n",
    "huggingface_hub/__init__.py": "print('hub')\n",
}
BUILD = """import sys
from zeroshot.naming.quick_timm import in_a_process_of_its_own, one_architecture
in_a_process_of_its_own()
with one_architecture("small.a_tag"):
    import timm
    net = timm.create_model("small.a_tag")
print(type(net).__name__, net.mean)
"""


@pytest.fixture
def said(tmp_path):
    """Lines that a program prints, beside these libraries."""

    def run(program, changes=()):
        for name, text in {**LIBRARIES, **dict(changes)}.items():
            if text is not None:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_text(text)
        environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{PROJECT}", "PYTHONDONTWRITEBYTECODE": "1"}
        ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True,
                             text=True)
        assert not ran.returncode, ran.stderr
        return ran.stdout.splitlines()

    return run


def test_one_architecture_is_imported_alone_and_is_the_same_when_the_rest_follows(said):
    rest = ("print('then', timm.list_models(), timm.models.Small is type(net), timm.models._hub.has_hub(), "
            "timm.layers.extracted(), timm.data.read(), timm.models.large.Large.__name__)")
    assert said(BUILD) == ["Small 0.5"]
    assert said(BUILD + rest) == ["Small 0.5", "timm", "hub", "timm.models", "large", "torchvision", "timm.data",
                                  "then ['large', 'small'] True True of net read Large"]


@pytest.mark.parametrize("wanted", [
    "from timm import create_model", "import timm.models.large", "import timm.optim",
    "from timm.models import *; Large", "import timm.data; timm.data.read()", "from timm.models import Large",
    "timm.models.is_model"])
def test_whoever_looks_further_finds_all_of_it(said, wanted):
    last = said(BUILD + wanted + "\nfrom timm.models._registry import known; print(sorted(known))")[-1]
    assert last == "['large', 'small']"


def test_code_that_shares_the_process_finds_timm_as_it_knows_it(said):
    assert said(BUILD.replace("in_a_process_of_its_own()\n", "")) == [
        "timm", "torchvision", "timm.models", "large", "timm.data", "hub", "Small 0.5"]


def test_it_is_left_alone_where_it_is_whole_and_takes_a_second_architecture(said):
    assert said("import timm; print('whole')\n" + BUILD)[-2:] == ["whole", "Small 0.5"]
    second = ("with one_architecture('large'):\n    print(timm.is_model('large'), type(timm.create_model('small')) is "
              "type(net), type(timm).__name__)\n")
    assert said(BUILD + second) == ["Small 0.5", "large", "True True PutOff"]


def test_an_unknown_name_is_asked_of_all_of_it(said):
    assert said(BUILD.replace("small.a_tag", "none").replace("timm.create_model", "print")
                .replace("print(type(net).__name__, net.mean)", "print(timm.list_models())"))[-2:] == [
        "none", "['large', 'small']"]


@pytest.mark.parametrize("changes", [
    {"timm/models/small.py": "from ._registry import known\nclass Small: mean = 0.5\nknown['small'] = Small\n"},
    {"timm/models/large.py": LIBRARIES["timm/models/large.py"] + "\ndef small(): pass\n"},
    {"timm/models/small.py": LIBRARIES["timm/models/small.py"].replace("MEAN\n", "MEAN, read\nread()\n", 1)},
    {"timm/models/small.py": "try:\n    from timm.data import read\nexcept ImportError:\n    read = None\nread()\n"
                             + LIBRARIES["timm/models/small.py"]},
    {"timm/models/small.py": "from timm.data import *\nread()\n" + LIBRARIES["timm/models/small.py"]},
    {"timm/models/_factory.py": None, "timm/models/__init__.py": LIBRARIES["timm/models/__init__.py"].replace(
        "_factory import create_model", "_registry import known") + "create_model = lambda name: known['small']()\n"},
    {"timm/data/__init__.py": None, "timm/data/constants.py": None, "timm/data/readers.py": None,
     "timm/data.py": "MEAN = 0.5\ndef read(): pass\n"},
    {"timm/layers.py": LIBRARIES["timm/layers.py"] + "import torchvision\ntorchvision.models\n"},
    {"torchvision/ops/__init__.py": None, "torchvision/ops/misc.py": None, "torchvision/ops.py": "class Frozen: pass\n",
     "timm/layers.py": LIBRARIES["timm/layers.py"].replace("ops.misc", "ops")}])
def test_another_version_is_imported_whole_and_serves(said, changes):
    said_here = said(BUILD, changes.items())
    assert said_here[-1] == "Small 0.5" and "timm" in said_here and "timm.models" in said_here


@pytest.mark.skipif(not importlib.util.find_spec("timm"), reason="timm is not installed")
def test_the_real_one(tmp_path):
    program = """
import sys, torch
from pathlib import Path
from zeroshot.naming.quick_start import Undrawn, library_of
from zeroshot.naming.quick_timm import in_a_process_of_its_own
from zeroshot.networks.preprocessing import Preprocessing
from zeroshot.networks.saved import read_cnn, write_cnn
from zeroshot.networks.visual_model import build_visual
in_a_process_of_its_own()
arch, path = "timm/tf_efficientnet_lite0", Path(sys.argv[1])
with library_of(arch):
    model = build_visual(arch, classes=3, stem="standard", dropout=0.0).eval()
write_cnn(path, model, arch=arch, stem="standard", dropout=0.0, wnids=list("abc"), made_from={},
          preprocessing=Preprocessing(64, 64, (0.5,) * 3, (0.5,) * 3))
with library_of(arch), Undrawn():
    read = read_cnn(path).model
assert all(torch.equal(v, read.state_dict()[name]) for name, v in model.state_dict().items())
images = torch.randn(1, 3, 64, 64)
assert torch.equal(model(images), read(images)) and model(images).any()
heavy = {"timm.models.beit", "timm.data.loader", "torchvision.models", "huggingface_hub", "torch._dynamo"}
print("loaded at first:", sorted(heavy & set(sys.modules)))
import timm
assert len(timm.list_models()) > 1000 and {"timm.models.beit", "timm.data.loader"} < set(sys.modules)
assert timm.models.EfficientNet is type(read.body.net)
assert timm.models._hub.has_hf_hub() == ("huggingface_hub" in sys.modules)
print(torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item())
"""
    ran = subprocess.run([sys.executable, "-c", program, tmp_path / "cnn.safetensors"], cwd=PROJECT,
                         capture_output=True, text=True)
    assert ran.stdout.splitlines() == ["loaded at first: []", "2.0"], ran.stderr
