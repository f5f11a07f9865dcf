"""asyncfan: run many async calls at once, join the ones that can be one, never make the same call twice."""
