"""Files of dialogues -> dialogues, goals and labels."""
