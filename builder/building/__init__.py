"""Building: the steps from a project to its PEX files, and the reports on a build."""
