"""The planner and its learning: returns, objectives, policies, warm-up, reinforcement, checkpoints."""
