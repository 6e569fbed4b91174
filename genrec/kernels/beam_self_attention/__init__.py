"""Attention of beams to what they descend from, in caches that are never re-ordered."""

from genrec.kernels.beam_self_attention.dispatch import beam_self_attention

__all__ = ["beam_self_attention"]
