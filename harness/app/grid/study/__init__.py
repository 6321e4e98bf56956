"""A learning study: arms x seeds of one experiment on the same held-out scenarios, and what they show."""
