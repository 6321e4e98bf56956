"""Finished episodes played again: from the tape, under another judge, with another expert, under another planner."""
