"""What people see: errors, their words, progress bars. It can change no result, so no stage depends on it."""
