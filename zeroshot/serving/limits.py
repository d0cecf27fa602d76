"""What is taken in: how many bytes, pixels and requests at a time; beyond them a sentence, never a crash."""

MEBI = 1 << 20
PICTURE_BYTES = 20 * MEBI
REQUEST_BYTES = 40 * MEBI  # several pictures, where the browser runs no script and sends them all at once
DRAINED_BYTES = 1024 * MEBI  # a refused upload is read to here, since browsers hear nothing before they have sent all
UPLOAD_SECONDS = 60
PICTURES = 10  # a request
PIXELS = 64_000_000  # a picture: 1 GB of memory at most (RGBA), while it is decoded
PLACES = 16  # one at work, the others waiting
CONNECTIONS = 100  # at the same time
FIELD_BYTES = 8 * MEBI  # the labels, in the main
LABELS = 50_000
WORDS = 200  # characters that are searched for
TOP = 20


class Refusal(Exception):
    """What the asker is told, and the HTTP status that goes with it."""

    def __init__(self, status: int, said: str):
        super().__init__(said)
        self.status, self.said = status, said
