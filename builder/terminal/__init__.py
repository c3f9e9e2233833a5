"""The terminal: command line, options, output and exit codes. Nothing else prints."""
