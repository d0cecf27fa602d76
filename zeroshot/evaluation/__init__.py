"""Metrics of rankings, distances in WordNet, what models are called."""
