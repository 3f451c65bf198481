"""Whole fleets of the 671B behind the gateway's own policies: `python -m r1.fleet.scale`."""
