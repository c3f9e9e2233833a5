"""Access to the machine: running programs and git, files, HTTP, secrets in the environment, tracebacks."""
