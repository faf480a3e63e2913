"""The `netsh ipsec` commands of Windows: a line in, a changed workspace and a reply out."""
