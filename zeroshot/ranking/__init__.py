"""The first 20 labels of every label set and the true label's rank; rankings on disk; calibrated stacking."""
