"""`python -m harness`."""

from harness.app.cli import main

main()
