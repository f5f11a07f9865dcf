"""Chunks of items, and a gate in front of a backend."""
