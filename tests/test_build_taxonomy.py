import zipfile

import pytest

from stages.build_taxonomy import main
from stages.fetch_wordnet import lexnames_file
from zeroshot.console.errors import InputError
from zeroshot.taxonomy import read_taxonomy


@pytest.fixture
def mini_zip(tmp_path, mini_wordnet):
    path = tmp_path / "wordnet.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (mini_wordnet | {"lexnames": lexnames_file()}).items():
            archive.writestr(name, content)
    return path


def test_mini(tmp_path, mini_zip):
    main(wordnet=mini_zip, out=tmp_path / "taxonomy")
    nouns = read_taxonomy(tmp_path / "taxonomy")
    assert nouns.lemmas == [["entity"], ["animal", "living beast"], ["pet"], ["dog", "domestic dog"], ["Laika"]]
    assert nouns.kinds.tolist() == [[1, 0], [2, 0], [3, 1]] and nouns.instances.tolist() == [[4, 3]]
    assert nouns.definitions[3] == "barks"
    assert (tmp_path / "taxonomy" / "glosses.txt").read_text().splitlines() == [
        "entity: that which is", "an entity", "animal, living beast: a living beast", "pet: kept at home",
        "a cat is a pet", "so is a dog", "dog, domestic dog: barks", "Laika: a dog in space", "bark: speak as dogs do",
        "big: of size", "huge: of great size", "hugely: very much"]


def test_refusals(tmp_path, mini_zip, mini_wordnet):
    with pytest.raises(InputError, match="no such file"):
        main(wordnet=tmp_path / "none.zip", out=tmp_path / "out")
    whole = mini_zip.read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-100])
    with pytest.raises(InputError, match="no whole zip file"):
        main(wordnet=tmp_path / "cut.zip", out=tmp_path / "out")
    (tmp_path / "flipped.zip").write_bytes(whole.replace(b"domestic_dog", b"domestic_dof", 1))
    with pytest.raises(InputError, match="no whole zip file"):
        main(wordnet=tmp_path / "flipped.zip", out=tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(InputError, match="holds no data.noun"):
        main(wordnet=tmp_path / "other.zip", out=tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "garbage.zip", "w") as archive:
        for name in [*mini_wordnet, "lexnames"]:
            archive.writestr(name, "garbage\n")
    with pytest.raises(InputError, match="NLTK cannot read it as WordNet"):
        main(wordnet=tmp_path / "garbage.zip", out=tmp_path / "out")


def test_wordnet_3(taxonomy_folder):
    nouns = read_taxonomy(taxonomy_folder)
    assert (len(nouns.wnids), len(nouns.kinds), len(nouns.instances)) == (82_115, 75_850, 8_577)
    assert nouns.lemmas[nouns.index["n02119789"]] == ["kit fox", "Vulpes macrotis"]
    with open(taxonomy_folder / "glosses.txt", encoding="utf-8") as file:
        assert sum(len(line.split()) for line in file) > 1_500_000
