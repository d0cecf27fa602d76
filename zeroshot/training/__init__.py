"""Training loops, on cached features or on images; augmentation; hits on the way."""
