"""ipseccmd of Windows XP and ipsecpol of Windows 2000: a command line is one rule (spec 8.4)."""
