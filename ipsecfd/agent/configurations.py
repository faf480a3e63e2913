"""What a run of the service is configured by, and what the next one will be."""

from __future__ import annotations

from pathlib import Path

from ipsecfd.agent.config import Config, load
from ipsecfd.errors import ConfigurationError, IpsecfdError
from ipsecfd.policy.stores import properties
from ipsecfd.policy.stores.properties import Properties


class Configurations:
    """The configuration file with the properties over it that `set config` set (spec 7.1)."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._properties: Properties | None = None

    def load_first(self) -> Config:
        """As a start has it; raises ConfigurationError for mistakes, and IpsecfdError where
        something cannot be read."""
        try:
            return self.load()
        except IpsecfdError as error:
            if _unreadable(error):
                raise
            raise ConfigurationError(str(error)) from error

    def load(self) -> Config:
        """As it is now, with the properties of the first call; raises IpsecfdError."""
        config = load(self._path)
        if self._properties is None:
            self._properties = properties.read(config.state_dir)
        return config.with_properties(
            self._properties, str(config.state_dir / properties.FILE_NAME)
        )

    def load_next(self) -> Config:
        """As the next start will have it; raises IpsecfdError."""
        return Configurations(self._path).load()


def _unreadable(error: BaseException | None) -> bool:
    """Whether a file could not be read, which is no mistake in it, and may pass."""
    return error is not None and (isinstance(error, OSError) or _unreadable(error.__cause__))
