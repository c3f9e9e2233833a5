"""Daily revenue of a small shop."""
