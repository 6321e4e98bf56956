"""What a run is started with: the experiment file's keys, their reading, and the manifest that seals them."""
