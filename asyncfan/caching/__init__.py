"""Never making the same call twice."""
