"""A file without a study."""
