"""Several texts as one, spread evenly over each other, since the learning rate falls while a corpus is read.

Every sentence has a place from 0 to 1, by how much of its own source lies before it, all times that it is read counted;
the sentences of all sources stand in the order of their places. So in every part of the corpus each source has its
share, a source that is read three times is through once at a third, and the order depends on nothing else.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zeroshot.text.encoded import EncodedText, read_encoded


class Words(NamedTuple):
    """The sentences of a source, as write_encoded wrote them, to be read `times` times, `tokens` each time."""

    path: Path
    times: int
    tokens: int


class Part(NamedTuple):
    """A text of source number `source`, its first place and the one behind its last."""

    source: int
    begin: float
    end: float
    text: EncodedText


def texts_of(words: Words) -> Iterator[EncodedText]:
    """The texts of a source, as often as they are read."""
    return chain.from_iterable(read_encoded(words.path) for _ in range(words.times))


def in_step(sources: list[Words]) -> Iterator[Part]:
    """The texts of all sources, next always one of the source that has come least far."""
    waiting = [_parts(number, words) for number, words in enumerate(sources)]
    reached = {number: 0.0 for number in range(len(sources))}
    while reached:
        number = min(reached, key=lambda source: (reached[source], source))
        if part := next(waiting[number], None):
            reached[number] = part.end
            yield part
        else:
            del reached[number]


def _parts(number: int, words: Words) -> Iterator[Part]:
    whole, done = words.tokens * words.times, 0
    for text in texts_of(words):
        begin, done = done, done + len(text.ids)
        yield Part(number, begin / whole, done / whole, text)


def merged(parts: Iterable[tuple[Part, bytes]], sources: int) -> Iterator[bytes]:
    """The lines of the parts, which come as from in_step, in the order of their places; of one source as they are."""
    if sources == 1:
        yield from (lines for _, lines in parts)
        return
    reached, waiting = [0.0] * sources, [deque() for _ in range(sources)]  # of each: places and lines of a part
    for part, lines in parts:
        split = lines.splitlines(keepends=True)
        places = part.begin + (part.end - part.begin) * (np.arange(len(split)) + 0.5) / max(len(split), 1)
        waiting[part.source].append((places, split))
        reached[part.source] = part.end
        yield _before(min(reached), waiting)
    yield _before(np.inf, waiting)


def _before(place: float, waiting: list[deque]) -> bytes:
    """Take the lines before a place from what waits, and put them in order."""
    places, lines = [np.empty(0)], []
    for parts in waiting:
        while parts and parts[0][0].size == np.searchsorted(parts[0][0], place):
            own, split = parts.popleft()
            places.append(own)
            lines += split
        if parts and (count := int(np.searchsorted(parts[0][0], place))):
            own, split = parts.popleft()
            places.append(own[:count])
            lines += split[:count]
            parts.appendleft((own[count:], split[count:]))
    order = np.argsort(np.concatenate(places), kind="stable")  # equal places: in the sources' order
    return b"".join(map(lines.__getitem__, order.tolist()))
