"""How long a thread that waits for the others spins before it sleeps; stages/__init__.py imports this before torch.

GNU's OpenMP, which torch brings along, lets it spin 300,000 times. Where other programs want the same cores, the
waiting itself then keeps from running what it waits for: training was five to nine times slower. No result changes.
"""

import os

COUNT = "1000"  # some 0.01 ms, in place of 3
ASKED_FOR = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")  # the library reads both once, when it is loaded


def spin_briefly() -> None:
    """Let waiting threads sleep early, unless the user's environment says how they are to wait; children inherit it."""
    if not any(name in os.environ for name in ASKED_FOR):
        os.environ["GOMP_SPINCOUNT"] = COUNT


spin_briefly()
