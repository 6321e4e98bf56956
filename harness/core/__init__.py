"""The kernel: messages, seams, scheduling, models and logs; knows no dataset, expert or algorithm."""
