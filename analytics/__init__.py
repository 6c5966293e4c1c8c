"""Tables: the stores, the lake, scoring and the lookup. Knows nothing of provider HTTP."""
