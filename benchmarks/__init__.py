"""What the harness costs, measured: each file one question, one JSON line and one table (see RESULTS.md)."""
