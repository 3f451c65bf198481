"""What a deployment needs and what it will do: pure arithmetic, calibrated on published figures."""
