import pytest

from zeroshot.console.errors import InputError
from zeroshot.terms.vocabulary import read_counts, write_counts

COUNTS = {"the": 9, "of": 7, "tiger_shark": 2, "façade": 1}


def test_counts_come_back_as_they_were_written(tmp_path):
    write_counts(tmp_path / "lexicon.tsv", COUNTS)
    assert list(read_counts(tmp_path / "lexicon.tsv").items()) == list(COUNTS.items())


@pytest.mark.parametrize(("content", "message"), [
    ("", "no term"), ("dog\n", "line 1"), ("dog\t2\ncat\tmany\n", "line 2"), ("dog\t2\ndog\t1\n", "line 2.*twice")])
def test_a_broken_file_is_refused(tmp_path, content, message):
    path = tmp_path / "lexicon.tsv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_counts(path)
