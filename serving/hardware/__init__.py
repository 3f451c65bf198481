"""The machine shapes that r1 runs on and plans for."""

from serving.hardware.gpu import Figure, Gpu, Tflops
from serving.hardware.machine import Machine, Processor

__all__ = ["Figure", "Gpu", "Machine", "Processor", "Tflops"]
