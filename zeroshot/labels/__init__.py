"""Label sets, label vectors, and the seen labels as training takes them."""
