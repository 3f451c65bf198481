"""Fleets of simulated engines behind the gateway's own policies, in virtual time."""
