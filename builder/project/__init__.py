"""Reading a project: workspace, requirements, local packages, and the files to pack."""
