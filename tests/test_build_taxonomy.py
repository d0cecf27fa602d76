import zipfile

import pytest

from stages.build_taxonomy import main, synsets_of
from stages.fetch_wordnet import lexnames_file
from zeroshot.console.errors import InputError
from zeroshot.taxonomy import read_taxonomy


@pytest.fixture
def mini_zip(tmp_path, mini_wordnet):
    return zipped(tmp_path, mini_wordnet | {"lexnames": lexnames_file()})


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
    with pytest.raises(InputError, match="not UTF-8 text"):
        main(wordnet=zipped(tmp_path, mini_wordnet | {"data.noun": b"\xff"}), out=tmp_path / "out")


DOG = "00000085 05 n 02 dog 0 domestic_dog 0 001 @ 00000032 n 0000 | barks  "


@pytest.mark.parametrize("line", [
    "garbage", DOG.partition(" |")[0], DOG[:40], DOG.replace(" 02 ", " 0x "), DOG.replace(" 02 ", " 00 "),
    DOG.replace(" 02 ", " 40 "), DOG.replace("001 @", "002 @"), DOG.replace("001 @", "one @"), DOG[1:], DOG + "|"])
def test_a_line_that_is_no_synset_is_named(tmp_path, mini_wordnet, line):
    damaged = zipped(tmp_path, mini_wordnet | {"data.verb": f"  1 licence\n{line}\n".encode()})
    with pytest.raises(InputError, match=r"data.verb: line 2 is .*; expected a synset"):
        main(wordnet=damaged, out=tmp_path / "out")


def zipped(folder, files):
    path = folder / "given.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_as_nltk_reads_it(tmp_path, mini_wordnet, monkeypatch):
    import nltk  # two seconds, which each process would take to collect the tests
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    """Names, definitions, examples and hypernyms of awkward lines."""
    awkward = [
        "00001000 05 n 03 Ab-c 0 d.e._f 1 g'h a 003 @ 00000026 n 0000 @i 00000026 n 0000 + 00000026 n 0101 | \"a; b\" ",
        "00001100 05 n 01 galore(ip) 0 000 | \"first\"; then (this; that); \"\"; \" spaced  out\"  ",
        "00001200 05 n 01 big_one(a) 0 000 | ; ; one \"unfinished; two\t three  ",
        "00001300 05 n 10 " + " ".join(f"w{n} {n:x}" for n in range(16)) + " 000 |  "]
    names = [line.split()[4:4 + 2 * int(line.split()[3], 16):2] for line in awkward]
    files = mini_wordnet | {"lexnames": lexnames_file(), "data.noun": mini_wordnet["data.noun"] + "".join(
        line + "\n" for line in awkward).encode(), "index.noun": mini_wordnet["index.noun"] + "".join(
        f"{word.partition('(')[0].lower()} n 1 0 1 0 {line[:8]}  \n"
        for line, words in zip(awkward, names, strict=True) for word in words).encode()}
    files |= {f"{part}.exc": b"" for part in ("noun", "verb", "adj", "adv")}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path.resolve())])
    monkeypatch.setattr(WordNetCorpusReader, "map_wn", lambda *_: None)
    with pytest.warns(UserWarning, match="multilingual"):
        reader = WordNetCorpusReader(nltk.data.FileSystemPathPointer(str(tmp_path.resolve())), None)

    def wnids(synsets):
        return [f"n{synset.offset():08d}" for synset in synsets]

    def clean(text):
        return " ".join(text.split())

    for part, name in (("n", "data.noun"), ("v", "data.verb"), ("a", "data.adj"), ("r", "data.adv")):
        theirs = [(*wnids([synset]), [lemma.replace("_", " ") for lemma in synset.lemma_names()],
                   wnids(synset.hypernyms()), wnids(synset.instance_hypernyms()), clean(synset.definition()),
                   [clean(text) for text in synset.examples() if clean(text)]) for synset in reader.all_synsets(part)]
        assert list(map(tuple, synsets_of(files[name].decode(), name))) == theirs and theirs


def test_wordnet_3(taxonomy_folder):
    nouns = read_taxonomy(taxonomy_folder)
    assert (len(nouns.wnids), len(nouns.kinds), len(nouns.instances)) == (82_115, 75_850, 8_577)
    assert nouns.lemmas[nouns.index["n02119789"]] == ["kit fox", "Vulpes macrotis"]
    with open(taxonomy_folder / "glosses.txt", encoding="utf-8") as file:
        assert sum(len(line.split()) for line in file) > 1_500_000
