"""What all wings speak of: strategies, the knowledge graph, the text encoder."""
