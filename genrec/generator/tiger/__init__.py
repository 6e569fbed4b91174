"""The faithful TIGER, a control: transformers' own T5, L tokens an item, behind our beam search."""

from genrec.generator.tiger.adapter import T5Decoder
from genrec.generator.tiger.shape import TigerShape, tiger_t5
from genrec.generator.tiger.source import TigerSource
from genrec.generator.tiger.training import Tiger, TigerBatches, TigerTraining, fit_tiger
from genrec.generator.tiger.weights import T5Weights

__all__ = [
    "T5Decoder",
    "T5Weights",
    "Tiger",
    "TigerBatches",
    "TigerShape",
    "TigerSource",
    "TigerTraining",
    "fit_tiger",
    "tiger_t5",
]
