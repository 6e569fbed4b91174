"""Programs from a raw log to Semantic IDs; they are run, never imported."""
