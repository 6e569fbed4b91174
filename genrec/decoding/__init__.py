"""Exact constrained beam search over the catalogue's prefix trie; it knows no model."""

from genrec.decoding.beam_search import Beams, Decoder, beam_search
from genrec.decoding.trie import Edges, PrefixTrie

__all__ = ["Beams", "Decoder", "Edges", "PrefixTrie", "beam_search"]
