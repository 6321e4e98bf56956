"""What a person at the terminal sees: progress, the live view, logs."""
