"""Running what was built on this machine, as it runs where it is deployed."""
