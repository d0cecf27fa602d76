"""Visual models by name, their preprocessing, batches of their input, and networks on disk."""
