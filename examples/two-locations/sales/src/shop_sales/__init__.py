"""Who buys, and how much."""
