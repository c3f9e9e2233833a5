"""Container images: OCI layouts on disk, registries, base images, credentials."""
