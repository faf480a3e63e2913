"""The Debian package, in a fresh Debian of the release it was built on."""
