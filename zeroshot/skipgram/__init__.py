"""Training of the skip-gram language model."""
