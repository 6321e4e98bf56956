"""The user side: personas, goals, the seeker, datasets and the scripted world."""
