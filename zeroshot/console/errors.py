"""The one exception that means "the user can mend this"."""


class InputError(ValueError):
    """Bad input or settings. The message says what was found, what was expected, where, and what to do.

    A stage that raises it ends with the message alone and exit status 1; any other exception is a
    bug of ours and keeps its traceback.
    """


class NotMade(InputError):
    """An artifact that could not be made and says so in its own place; `why`: a few words."""

    def __init__(self, message: str, why: str):
        super().__init__(message)
        self.why = why


def quoted(text: str, most: int = 60) -> str:
    """For messages: what was found, in quotes, cut, with ? for what cannot be printed."""
    return "'" + "".join(sign if sign.isprintable() else "?" for sign in text[:most]) + "'"
