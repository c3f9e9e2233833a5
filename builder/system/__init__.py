"""The machine: programs, files, secrets and tracebacks."""
