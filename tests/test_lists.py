"""Lists of wnids as people write them; one reader for all."""

import pytest

from zeroshot.base.lists import read_wnid_list, text_lines
from zeroshot.console.errors import InputError
from zeroshot.image_sets.choosing import read_list
from zeroshot.labels.label_sets import read_wnids
from zeroshot.networks.outputs import read_outputs

DOG, CAT = "n02084071", "n02121620"
READERS = [read_wnids, lambda path: read_list(path, "a.list"), read_outputs, lambda path: read_wnid_list(path, "wnids")]
FORMS = {"plain": f"{DOG}\n{CAT}\n", "without a last line end": f"{DOG}\n{CAT}", "CRLF": f"{DOG}\r\n{CAT}\r\n",
         "a Mac's of old": f"{DOG}\r{CAT}\r", "BOM": f"\ufeff{DOG}\n{CAT}\n", "capitals": f"{DOG.upper()}\n{CAT}\n",
         "comments": f"# mine\n{DOG}\n  # more\n\n{CAT}  # cats\n", "space": f"{DOG} dog, domestic dog\n {CAT} cat\n",
         "tab": f"{DOG}\tdog\n{CAT}\tcat\n", "comma": f"{DOG},dog\n{CAT},cat\n",
         "quotes": f'"{DOG}","dog"\n"{CAT}","cat"\n',
         "semicolon": f"{DOG};dog\n{CAT};cat\n"}


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("form", FORMS)
def test_every_reader_takes_every_form(tmp_path, read, form):
    (tmp_path / "list.txt").write_text(FORMS[form], newline="")
    assert read(tmp_path / "list.txt") == [DOG, CAT]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(("data", "message"), [
    (f"{DOG}\nshark\n".encode(), "line 2 begins 'shark'; expected a wnid"),
    (f"{DOG}1\n".encode(), "line 1 begins 'n020840711'; expected a wnid"),
    ("n٠٢١٢١٦٢٠\n".encode(), "line 1 begins .*expected a wnid"),
    (f"{DOG}\n{DOG.upper()} again\n".encode(), f"{DOG} stands twice, in lines 1 and 2"),
    (f"{DOG}\n".encode("utf-16"), "not UTF-8 text, but UTF-16"), (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8 text")])
def test_what_is_no_list_is_refused(tmp_path, read, data, message):
    (tmp_path / "list.txt").write_bytes(data)
    with pytest.raises(InputError, match=f"list.txt: .*{message}") as told:
        read(tmp_path / "list.txt")
    assert "\\x" not in str(told.value)


@pytest.mark.parametrize("read", READERS)
def test_a_list_that_is_not_there_or_a_folder(tmp_path, read):
    for place, message in ((tmp_path / "gone", "no such file"), (tmp_path, "no text file but a folder")):
        with pytest.raises(InputError, match=message):
            read(place)


def test_gaps_count_in_a_list_of_outputs_alone(tmp_path):
    (tmp_path / "list.txt").write_text(f"- background\n{DOG}\n-\n")
    assert read_outputs(tmp_path / "list.txt") == ["-", DOG, "-"]
    with pytest.raises(InputError, match="line 1 begins '- background'"):
        read_wnids(tmp_path / "list.txt")


def test_an_empty_list_is_none_but_for_a_split(tmp_path):
    (tmp_path / "list.txt").write_text("# nothing yet\n")
    assert read_list(tmp_path / "list.txt", "a.list") == []
    with pytest.raises(InputError, match="holds no wnid"):
        read_wnids(tmp_path / "list.txt")


def test_lines_have_their_numbers(tmp_path):
    (tmp_path / "table.tsv").write_text("\ufeffa\tb\n\n# no\n c\n")
    assert text_lines(tmp_path / "table.tsv", "a table") == [(1, "a\tb"), (4, "c")]
