"""The recommender side: the experts of the network and the recommenders built from them."""
