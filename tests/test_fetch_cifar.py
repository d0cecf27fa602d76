"""Nothing is downloaded where some form of the archive is there."""

import pytest

from tools import fetch_cifar


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "cifar-10-python.tar", "cifar-10-batches-py",
                                  "cifar-10-binary.tar"])
def test_what_is_there_is_not_fetched(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    asked = []
    monkeypatch.setattr(fetch_cifar, "download_url", lambda *given: asked.append(given))
    fetch_cifar.main(tmp_path, "cifar-10")
    assert not asked
    fetch_cifar.main(tmp_path, "cifar-100")
    assert [given[2] for given in asked] == ["cifar-100-python.tar.gz"]
