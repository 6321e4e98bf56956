"""Simulation and reinforcement learning of strategy planners for conversational recommenders (RSO)."""
