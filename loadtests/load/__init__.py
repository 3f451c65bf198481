"""How a load goes: how much of it when (shapes, arrivals, traces), and how long texts are. Pure."""
