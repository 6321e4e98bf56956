"""Shared by experts, simulator and learner: strategies, the knowledge graph, the text encoder."""
