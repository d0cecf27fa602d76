"""What two or more stages share: types with their read/write pair, and pure functions."""
