"""What the builder needs of the machine: programs, files, HTTP, git, secrets, tracebacks."""
