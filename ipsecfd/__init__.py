"""ipsecfd: the packet filter of Windows' IP Security Policies, alive on Linux."""

__version__ = "0.1.0"
