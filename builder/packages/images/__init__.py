"""Container images of a wheelhouse's packages: build context, build engine, OCI layout, SBOM, registry."""
