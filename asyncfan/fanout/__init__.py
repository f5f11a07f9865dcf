"""Running many calls at once."""
