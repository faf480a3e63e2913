"""The host's addresses, broadcast addresses and servers, read from the kernel and kept current."""
