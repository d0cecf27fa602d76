"""check-data where torch refuses a few steps of training: a line, not a traceback."""

import pytest

from tools import check_data
from zeroshot.console.errors import InputError


@pytest.mark.parametrize(("said", "expected"), [
    ("pool_cuda does not have a deterministic implementation, but you set ...",
     "set `pretrain_cnn.deterministic: false`"),
    ("CUDA error: out of memory", "lower `pretrain_cnn.batch` in params.yaml"),
    ("a bug", None)])
def test_what_a_setting_can_mend_is_told(monkeypatch, said, expected):
    def refused(*_):
        raise RuntimeError(said)

    monkeypatch.setattr(check_data, "measure_training", refused)
    with pytest.raises(InputError if expected else RuntimeError, match=expected or said):
        check_data.train_a_while({"pretrain_cnn": {}}, 3, 8)
