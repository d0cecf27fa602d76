"""Two processes of one group, as torchrun would start them."""

import os
import socket
import subprocess
import sys


def run_as_two(code: str) -> list[int]:
    """Run Python `code` in two processes of a gloo group; returns their exit statuses."""
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    started = [subprocess.Popen([sys.executable, "-c", code], env={**environment, "RANK": str(rank)},
                                stderr=subprocess.DEVNULL) for rank in range(2)]
    return [process.wait(120) for process in started]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
