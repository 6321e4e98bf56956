"""Metrics, statistics and the evaluation of a policy."""
