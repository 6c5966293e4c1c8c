"""The wire: providers as data, dialects, timing, catalogs. Knows HTTP, knows nothing of tables."""
