"""The cache of this machine: what it holds, and removing entries that have not been used for long."""
