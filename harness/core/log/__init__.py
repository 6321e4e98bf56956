"""The event log, the tape and the run directory: the truth of a run on disk."""
