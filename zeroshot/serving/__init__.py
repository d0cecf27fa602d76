"""The trained models as a page on this machine: `python -m zeroshot serve`; no stage depends on it."""
