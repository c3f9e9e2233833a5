"""Reading what the user wrote: workspace, requirements, local packages, and which files belong."""
