"""Writing the workflow that deploys a project: what the project needs of it, and the texts of each CI provider."""
