"""`make clean-scratch`: remove the checkpoints of runs that never finished; those of runs under way stay."""

import sys

from zeroshot.console.ends import ended
from zeroshot.running.scratch import remove_unfinished, scratch_root


def main() -> None:
    removed, held = remove_unfinished()
    print(f"{scratch_root()}: checkpoints of {removed} runs removed" +
          (f"; those of {held}, which are under way, stay" if held else ""))


if __name__ == "__main__":
    sys.exit(ended("clean-scratch", main))
