"""A run directory -> pages and plots. Every figure comes from the log, `metrics.jsonl` and `summary.json` alone."""
