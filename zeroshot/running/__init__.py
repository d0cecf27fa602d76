"""How a stage runs: started, on one process or several, resumed after a kill.

It can change no result, so no stage depends on it.
"""
