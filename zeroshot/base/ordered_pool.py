"""Work spread over processes whose results come back in the order of the tasks, with few of them in flight."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from zeroshot.base.parent import die_with_parent

T = TypeVar("T")
R = TypeVar("R")
IN_FLIGHT = 3  # tasks a worker, working or waiting: bounds memory, hides the wait for a slow one


def in_order(function: Callable[..., R], tasks: Iterable[T], workers: int, *shared: Any) -> Iterator[tuple[T, R]]:
    """Yield (task, function(task, *shared)) in the order of `tasks`, which are drawn only as results are taken.

    Args:
        function: of a module's top level; an exception in it is raised here.
        workers: processes; with 1 all is done in this one. The results do not depend on it.
        shared: handed to each process once, not with every task.
    """
    if workers == 1:
        for task in tasks:
            yield task, function(task, *shared)
        return
    with ProcessPoolExecutor(workers, initializer=_start, initargs=(function, shared)) as pool:
        waiting: deque = deque()
        try:
            for task in tasks:
                waiting.append((task, pool.submit(_call, task)))
                if len(waiting) >= IN_FLIGHT * workers:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _start(function: Callable, shared: tuple) -> None:
    global _function, _shared
    die_with_parent()
    _function, _shared = function, shared


def _call(task: Any) -> Any:
    return _function(task, *_shared)
