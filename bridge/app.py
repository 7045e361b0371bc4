"""Bridge and Pipeline: what the user declares."""
