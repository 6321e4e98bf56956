"""What a result was made by: the code (version, commit, dirt), every text that a model reads, the scripted world."""
