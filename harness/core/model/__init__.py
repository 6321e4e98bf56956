"""The client of a model server: requests, transport, retries, limits, the server's life."""
