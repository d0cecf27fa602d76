"""Terms: how they are spelt, how often they occur, their vectors, ours and other tools'."""
