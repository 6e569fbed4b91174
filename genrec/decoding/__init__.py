"""Exact constrained beam search over the catalogue's prefixes; it knows no model."""

from genrec.decoding.beam_search import Beams, Decoder, beam_recall, beam_search, beam_widths
from genrec.decoding.eligibility import Eligibility, FilterCache
from genrec.decoding.grown_index import GrownIndex, PathChange
from genrec.decoding.prefix_index import Edges, PrefixIndex

__all__ = [
    "Beams",
    "Decoder",
    "Edges",
    "Eligibility",
    "FilterCache",
    "GrownIndex",
    "PathChange",
    "PrefixIndex",
    "beam_recall",
    "beam_search",
    "beam_widths",
]
