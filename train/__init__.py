"""Programs for everything that is fitted; they are run, never imported."""
