"""Helpers of the tests; fakes that stand in for models."""
