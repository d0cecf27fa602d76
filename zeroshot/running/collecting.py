"""How often Python looks for objects that hold on to each other only; stages/__init__.py imports this first.

By default after every 700 new ones. Reading WordNet and importing libraries makes hundreds of thousands that stay, and
looking through them again and again was a fifth of the time of the stages that train nothing. No result changes.
"""

import gc

NEW = 50_000  # objects more than there were; what a stage holds of the others is freed at once, as ever

gc.set_threshold(NEW)
