"""The machine shapes that r1 runs on and plans for."""

from serving.hardware.machine import Gpu, Machine

__all__ = ["Gpu", "Machine"]
