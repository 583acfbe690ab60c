"""The commands of `velo`, a file each, named as the command is; group.py loads what is asked."""
