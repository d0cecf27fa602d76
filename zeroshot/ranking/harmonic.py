"""The harmonic mean of hit@1 on seen and on unseen classes: generalised zero-shot's one figure (Xian et al. 2017)."""


def harmonic_mean(a, b):
    """2ab / (a + b), 0 where both are 0; of numbers or, element by element, of arrays or tensors."""
    total = a + b
    return 2 * a * b / (total + (total == 0))
