"""Publishing PEX files to the registry: upload, read back, cache records."""
