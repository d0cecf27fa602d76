"""WordNet 3.0's nouns as a graph: who is a kind of whom, what each is called, what it means.

A wnid is "n" and the synset's eight-digit offset in WordNet 3.0's data.noun (n02119789 is kit fox), as ImageNet
names its classes. On disk: `nouns.tsv`, one synset a row, sorted by wnid, with the columns wnid, lemmas
("|"-joined, spaces between words), hypernyms, instance hypernyms (wnids, space-joined), definition; and
`glosses.txt`, one "lemmas: definition" or example sentence a line, of all parts of speech.
"""

import itertools
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
ROW = re.compile(WNID.pattern + r"\t")
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
        return {wnid: [self.wnids[parent] for parent in self._above(row)] for row, wnid in enumerate(self.wnids)}

    @cached_property
    def _by_child(self) -> tuple[list[int], list[int]]:
        """Row i's parents are the rows parents[starts[i]:starts[i + 1]]: (starts, parents)."""
        child, parent = self.hypernyms().T
        order = np.argsort(child, kind="stable")
        return np.searchsorted(child[order], np.arange(len(self.wnids) + 1)).tolist(), parent[order].tolist()

    def _above(self, row: int) -> list[int]:
        starts, parents = self._by_child
        return parents[starts[row]:starts[row + 1]]

    def name(self, wnid: str) -> str:
        """The synset's first lemma; a wnid that is no noun's is its own name."""
        return self.lemmas[self.index[wnid]][0] if wnid in self.index else wnid

    def ancestors(self, wnid: str) -> dict[str, int]:
        """Hypernyms of every degree, instance hypernyms too -> the fewest edges up to each; by edges, then by wnid."""
        edges, level, degree = {self.index[wnid]: 0}, [self.index[wnid]], 0
        while level:
            degree += 1
            level = sorted({parent for child in level for parent in self._above(child)} - edges.keys())
            edges |= dict.fromkeys(level, degree)
        return {self.wnids[row]: degree for row, degree in edges.items() if degree}

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
    wnids = sorted(nouns)
    kinds, instances = ([" ".join(nouns[wnid][column]) for wnid in wnids] for column in (1, 2))
    return _linked(wnids, [nouns[wnid][0] for wnid in wnids], [nouns[wnid][3] for wnid in wnids], kinds, instances)


def _linked(wnids: list[str], lemmas: list[list[str]], definitions: list[str], kinds: list[str], instances: list[str]
            ) -> Taxonomy:
    """A taxonomy of its columns, of which the last two hold wnids with spaces between them, as on disk.

    Raises:
        InputError: no rows; wnids that are not in order, or twice; a hypernym that is none of them.
    """
    if not wnids:
        raise InputError("a taxonomy needs at least one noun synset; found none")
    if wrong := next((after for before, after in itertools.pairwise(wnids) if before >= after), None):
        raise InputError(f"{wrong} stands twice or out of order; expected sorted wnids")
    index = {wnid: row for row, wnid in enumerate(wnids)}

    def edges(above: list[str]) -> np.ndarray:
        child = [row for row, some in enumerate(above) for _ in some.split()]
        parent = [index[wnid] for some in above for wnid in some.split()]
        pairs = np.array([child, parent], np.int32).T
        return np.ascontiguousarray(pairs[np.lexsort(pairs.T[::-1])])

    try:
        return Taxonomy(wnids, lemmas, definitions, edges(kinds), edges(instances))
    except KeyError as error:
        raise InputError(f"{error.args[0]} is named as a hypernym but is no noun of the taxonomy") from None


def write_taxonomy(folder: Path, taxonomy: Taxonomy) -> None:
    """Write `folder`/nouns.tsv."""
    kinds, instances = (_parents_by_child(edges, taxonomy.wnids) for edges in (taxonomy.kinds, taxonomy.instances))
    with atomic_write(folder / "nouns.tsv") as file:
        for row, (wnid, lemmas, definition) in enumerate(zip(taxonomy.wnids, taxonomy.lemmas, taxonomy.definitions,
                                                             strict=True)):
            file.write(f"{wnid}\t{'|'.join(lemmas)}\t{' '.join(kinds.get(row, ()))}\t"
                       f"{' '.join(instances.get(row, ()))}\t{definition}\n")


def _parents_by_child(edges: np.ndarray, wnids: list[str]) -> dict[int, list[str]]:
    parents: dict[int, list[str]] = {}
    for child, parent in zip(*edges.T.tolist(), strict=True):
        parents.setdefault(child, []).append(wnids[parent])
    return parents


def read_taxonomy(folder: Path) -> Taxonomy:
    """Read `folder`/nouns.tsv.

    Raises:
        InputError: missing, cut short or malformed.
    """
    path = folder / "nouns.tsv"
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file; `dvc repro build_taxonomy` makes it") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; {REMEDY}") from None
    *lines, rest = text.split("\n")
    for number, line in enumerate(lines, 1):
        if (columns := 1 + line.count("\t")) != 5 or not ROW.match(line):
            raise InputError(f"{path}: line {number} has {columns} columns and begins {line[:9]!r}; "
                             f"expected 5 columns, the first a wnid; {REMEDY}")
    if rest:
        raise InputError(f"{path}: cut short in line {len(lines) + 1}; {REMEDY}")
    fields = text.replace("\n", "\t").split("\t")[:-1]  # one list, not one a line: the same in a third of the time
    wnids, lemmas, kinds, instances, definitions = (fields[column::5] for column in range(5))
    try:
        return _linked(wnids, [names.split("|") for names in lemmas], definitions, kinds, instances)
    except InputError as error:
        raise InputError(f"{path}: {error}; {REMEDY}") from None
