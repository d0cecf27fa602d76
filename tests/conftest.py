from pathlib import Path

import pytest

from stages import build_taxonomy, fetch_wordnet

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def wordnet_zip(tmp_path_factory) -> Path:
    """WordNet 3.0, packed: the pipeline's own, or fetched once a session."""
    made = PROJECT / "data" / "wordnet.zip"
    if made.exists():
        return made
    path = tmp_path_factory.mktemp("wordnet") / "wordnet.zip"
    fetch_wordnet.main(fetch_wordnet.Params(source="auto"), out=path)
    return path


@pytest.fixture(scope="session")
def taxonomy_folder(tmp_path_factory, request) -> Path:
    """The whole of WordNet's nouns: the pipeline's own, or built once a session (10 s)."""
    made = PROJECT / "data" / "taxonomy"
    if (made / "nouns.tsv").exists() and (made / "glosses.txt").exists():
        return made
    folder = tmp_path_factory.mktemp("taxonomy")
    build_taxonomy.main(wordnet=request.getfixturevalue("wordnet_zip"), out=folder)
    return folder
