"""Building: the steps from a project to its files, and what a build says of itself."""
