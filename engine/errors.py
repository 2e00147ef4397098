"""Errors written for the person who reads them: what was wrong, with which value, what to do."""


class UserError(Exception):
    """Shown as its message alone, on a page or on the command line; never as a traceback."""


class Cancelled(Exception):
    """A job was cancelled by the user; nothing of it is stored."""
