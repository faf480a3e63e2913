"""What can go wrong between ipsecfd and the kernel."""

from __future__ import annotations

from ipsecfd.errors import IpsecfdError


class KernelError(IpsecfdError):
    """The kernel, or the tool that talks to it, refused; the text says what and what to do."""
