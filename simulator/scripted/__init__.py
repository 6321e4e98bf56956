"""An agenda-based world that answers as a language model would, behind a loopback HTTP server."""
