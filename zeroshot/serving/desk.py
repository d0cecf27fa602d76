"""The queue before the models: one worker, in order of arrival, and so many places that memory is bounded."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from zeroshot.serving.limits import PLACES, Refusal

Result = TypeVar("Result")


class Desk:
    """One request is worked on at a time, in a thread of its own, so that the page itself is always served.

    Args:
        places: requests that may be read, wait or be at work at the same time.

    Attributes:
        free: places that nobody holds.
    """

    def __init__(self, places: int = PLACES):
        self.places = self.free = places
        self._turn = asyncio.Lock()  # first come, first served
        self._worker = ThreadPoolExecutor(1, "models")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places.

        Raises:
            Refusal: all are taken.
        """
        if not self.free:
            raise Refusal(503, f"All {self.places} places in the queue are taken. Try again in a few seconds.")
        self.free -= 1
        try:
            yield
        finally:
            self.free += 1

    async def work(self, work: Callable[[], Result], gone: Callable[[], Awaitable[bool]]) -> Result:
        """`work()`, when all that came before is done.

        Args:
            gone: whether the asker has left, asked before waiting too, since the server looks out for it from then on.

        Raises:
            Refusal: the asker has left; nobody reads it.
        """
        await gone()
        async with self._turn:
            if await gone():
                raise Refusal(499, "The asker left.")
            return await asyncio.get_running_loop().run_in_executor(self._worker, work)
