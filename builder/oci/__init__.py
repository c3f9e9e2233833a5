"""Container images as files and in registries: layouts, the distribution API, credentials."""
