"""The roof: commands, wiring and evaluation; the only floor that sees everything."""
