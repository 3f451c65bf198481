"""The engine of one replica: its arguments, its start, its end."""
