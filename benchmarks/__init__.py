"""Commands that produce the figures in the documents."""
