"""Training of neural arms, resumable to the bit."""

from ptrag.training.run import train

__all__ = ["train"]
