"""The root of every error that one clear line explains to an administrator."""

from __future__ import annotations


class IpsecfdError(Exception):
    """Something was refused or failed; the text says what, where and what to do about it.

    The command line prints the text on stderr, one line each, and exits with `status`.
    """

    status = 1


class ConfigurationError(IpsecfdError):
    """The service's configuration has mistakes: as long as nobody mends them no start succeeds."""
