"""WordNet 3.0's nouns as a graph: who is a kind of whom, what each is called, what it means.

A wnid is "n" and the synset's eight-digit offset in WordNet 3.0's data.noun (n02119789 is kit fox), as ImageNet
names its classes. On disk: `nouns.tsv`, one synset a row, sorted by wnid, with the columns wnid, lemmas
("|"-joined, spaces between words), hypernyms, instance hypernyms (wnids, space-joined), definition; and
`glosses.txt`, one "lemmas: definition" or example sentence a line, of all parts of speech.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int32

from zeroshot.base.files import atomic_write
from zeroshot.console.errors import InputError

if TYPE_CHECKING:
    import scipy.sparse

WNID = re.compile(r"n\d{8}")
REMEDY = "delete the folder and `dvc repro build_taxonomy`"


@dataclass(frozen=True)
class Taxonomy:
    """The noun synsets, row i of everything belonging to wnids[i].

    Attributes:
        wnids: sorted.
        lemmas: each synset's names as WordNet writes them ("great white shark"), the main one first.
        definitions: one a synset, without example sentences.
        kinds: int32 [edges, 2], rows (child, parent): "is a kind of" (hypernym).
        instances: int32 [edges, 2], rows (child, parent): "is an instance of" (Paris, of capital).
    """

    wnids: list[str]
    lemmas: list[list[str]]
    definitions: list[str]
    kinds: Int32[np.ndarray, "kinds 2"]
    instances: Int32[np.ndarray, "instances 2"]

    @cached_property
    def index(self) -> dict[str, int]:
        """wnid -> row."""
        return {wnid: row for row, wnid in enumerate(self.wnids)}

    @cached_property
    def parents(self) -> dict[str, list[str]]:
        """wnid -> its hypernyms and instance hypernyms."""
        parents: dict[str, list[str]] = {wnid: [] for wnid in self.wnids}
        for child, parent in self.hypernyms().tolist():
            parents[self.wnids[child]].append(self.wnids[parent])
        return parents

    def ancestors(self, wnid: str) -> dict[str, int]:
        """Hypernyms of every degree, instance hypernyms too -> the fewest edges up to each; by edges, then by wnid."""
        edges, level, degree = {wnid: 0}, [wnid], 0
        while level:
            degree += 1
            level = sorted({parent for child in level for parent in self.parents[child]} - edges.keys())
            edges |= dict.fromkeys(level, degree)
        del edges[wnid]
        return edges

    def hypernyms(self, instances: bool = True) -> Int32[np.ndarray, "edges 2"]:
        """Edges as rows (child, parent), those of instances last (left out if `instances` is false)."""
        return np.concatenate([self.kinds, self.instances]) if instances else self.kinds

    def graph(self, instances: bool = True, directed: bool = False) -> "scipy.sparse.csr_matrix":
        """Boolean adjacency [nouns, nouns]: child -> parent if `directed`, else both ways."""
        import scipy.sparse  # a tenth of the time that naming takes to start, which needs no graph

        child, parent = self.hypernyms(instances).T
        if not directed:
            child, parent = np.concatenate([child, parent]), np.concatenate([parent, child])
        shape = (len(self.wnids), len(self.wnids))
        graph = scipy.sparse.coo_matrix((np.ones(len(child), bool), (child, parent)), shape).tocsr()
        graph.data[:] = True  # an edge given twice is one edge
        return graph

    def rows(self, wnids: list[str]) -> np.ndarray:
        """Rows (int64) of `wnids`, in their order.

        Raises:
            InputError: naming the wnids that are no noun synsets.
        """
        unknown = [wnid for wnid in wnids if wnid not in self.index]
        if unknown:
            raise InputError(f"no noun synset of WordNet 3.0: {', '.join(unknown[:5])}"
                             f"{f' and {len(unknown) - 5} more' if len(unknown) > 5 else ''}")
        return np.array([self.index[wnid] for wnid in wnids], np.int64)


def make_taxonomy(nouns: dict[str, tuple[list[str], list[str], list[str], str]]) -> Taxonomy:
    """A taxonomy of wnid -> (lemmas, hypernyms, instance hypernyms, definition).

    Raises:
        InputError: a hypernym that is itself no noun of the taxonomy, or no noun at all.
    """
    if not nouns:
        raise InputError("a taxonomy needs at least one noun synset; found none")
    wnids = sorted(nouns)
    index = {wnid: row for row, wnid in enumerate(wnids)}

    def edges(column: int) -> np.ndarray:
        pairs = [(index[wnid], index[parent]) for wnid in wnids for parent in sorted(nouns[wnid][column])]
        return np.array(pairs, np.int32).reshape(-1, 2)

    try:
        return Taxonomy(wnids, [nouns[w][0] for w in wnids], [nouns[w][3] for w in wnids], edges(1), edges(2))
    except KeyError as error:
        raise InputError(f"{error.args[0]} is named as a hypernym but is no noun of the taxonomy") from None


def write_taxonomy(folder: Path, taxonomy: Taxonomy) -> None:
    """Write `folder`/nouns.tsv."""
    parents: list[tuple[list[str], list[str]]] = [([], []) for _ in taxonomy.wnids]
    for column, edges in enumerate((taxonomy.kinds, taxonomy.instances)):
        for child, parent in edges:
            parents[child][column].append(taxonomy.wnids[parent])
    with atomic_write(folder / "nouns.tsv") as file:
        for wnid, lemmas, (kinds, instances), definition in zip(
                taxonomy.wnids, taxonomy.lemmas, parents, taxonomy.definitions, strict=True):
            row = [wnid, "|".join(lemmas), " ".join(kinds), " ".join(instances), definition]
            file.write("\t".join(row) + "\n")


def read_taxonomy(folder: Path) -> Taxonomy:
    """Read `folder`/nouns.tsv.

    Raises:
        InputError: missing, cut short or malformed.
    """
    path = folder / "nouns.tsv"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file; `dvc repro build_taxonomy` makes it") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; {REMEDY}") from None
    nouns = {}
    for number, line in enumerate(lines[:-1], 1):
        fields = line.split("\t")
        if len(fields) != 5 or not WNID.fullmatch(fields[0]):
            raise InputError(f"{path}: line {number} has {len(fields)} columns and begins {line[:9]!r}; "
                             f"expected 5 columns, the first a wnid; {REMEDY}")
        wnid, lemmas, kinds, instances, definition = fields
        nouns[wnid] = (lemmas.split("|"), kinds.split(), instances.split(), definition)
    if lines[-1]:
        raise InputError(f"{path}: cut short in line {len(lines)}; {REMEDY}")
    try:
        return make_taxonomy(nouns)
    except InputError as error:
        raise InputError(f"{path}: {error}; {REMEDY}") from None
