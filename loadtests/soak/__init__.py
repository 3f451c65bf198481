"""Hours of traffic while faults come and go by chance."""
