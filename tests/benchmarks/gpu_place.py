"""Shared parts of the GPU benchmarks: clock, memory, a random backbone, their first line."""

import time

import torch

from brainit.features.dinov2 import DinoSize, build_dinov2
from brainit.features.encoder_backbone import EncoderBackbone
from brainit.features.weights_file import freeze


def first_line(device: torch.device, is_tiny: bool) -> str:
    """Return where the figures are from and of which sizes."""
    where = torch.cuda.get_device_name() if device.type == "cuda" else "a CPU"
    said = "tiny sizes, no figure means anything" if is_tiny else "the published sizes"
    return f"On {where}, torch {torch.__version__}, random weights: {said}"


def finish(device: torch.device) -> float:
    """Wait for a GPU; return the time."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def peak_gb(device: torch.device) -> float:
    """Return the most memory of the GPU that tensors have taken since the last call, in GB."""
    if device.type != "cuda":
        return 0.0
    peak = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return peak


def random_backbone(size: DinoSize, device: torch.device) -> EncoderBackbone:
    """Return DINOv2 with random weights."""
    with torch.device(device):
        network = build_dinov2(size)
    freeze(network)
    return network
