"""Text from its sources to sentences of terms: files, markup, words, lexicon, phrases."""
