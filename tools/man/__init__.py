"""The manual pages, from what the program and the documentation say already."""
