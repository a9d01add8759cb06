"""To the callers: one file a dialect, with both directions of its translation."""
