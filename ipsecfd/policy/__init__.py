"""What an administrator means: the policy model and the formats it is written in."""
