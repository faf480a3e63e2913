"""What commands that only look know of this host: its configuration and the answers of DNS.

Both as far as they can be read: nobody needs them, and nothing fails for want of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipsecfd.agent.config import Config
    from ipsecfd.policy.names import Names


def host_config() -> Config:
    """The configuration at its default place; the defaults if that cannot be read."""
    from ipsecfd.agent.config import Config, load
    from ipsecfd.errors import IpsecfdError

    try:
        return load(None)
    except (IpsecfdError, OSError):
        return Config()


def kept_names() -> Names:
    """The DNS names that the service of this host has resolved, as it filters by them; others are
    asked for and not kept."""
    from ipsecfd.policy import names

    return names.Names(host_config().state_dir / names.FILE_NAME, keep=False)
