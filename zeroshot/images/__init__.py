"""The image index, and the images of it by row: packed pixels, or files read in place."""
