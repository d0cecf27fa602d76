"""The one exception that means "the user can mend this"."""


class InputError(ValueError):
    """Bad input or settings. The message says what was found, what was expected, where, and what to do.

    A stage that raises it ends with the message alone and exit status 1; any other exception is a
    bug of ours and keeps its traceback.
    """
