"""What a result was made by: the code (version, commit, changes), every text that a model reads, the scripted world."""
