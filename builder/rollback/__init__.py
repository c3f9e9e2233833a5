"""Having a location run an earlier version again."""
