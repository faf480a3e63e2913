"""The policy stores: what they hold, the changes they allow, and their files (spec 1.1, 1.5)."""
