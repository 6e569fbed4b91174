"""Programs for everything that answers; they are run, never imported."""
