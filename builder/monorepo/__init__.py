"""The packages of a repository: discovered, versioned, built once, locked and checked."""
