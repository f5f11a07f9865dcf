"""One thin file a framework; none is imported before it is needed."""
