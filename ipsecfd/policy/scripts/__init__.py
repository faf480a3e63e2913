"""Scripts of Windows' administrators: read, expanded as cmd.exe would, and carried out."""
