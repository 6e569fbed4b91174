"""A trained TIGER as a recommender: our exact search over its tokens."""

from __future__ import annotations

import torch

from genrec.decoding import Eligibility, FilterCache, PrefixIndex, beam_search
from genrec.generator.tiger.adapter import T5Decoder
from genrec.generator.tiger.training import Tiger
from genrec.generator.tiger.weights import T5Weights
from genrec.interactions import Recommendations, RequestBatch, answer_in_parts

__all__ = ["TigerSource"]

REQUESTS_AT_ONCE = 32


class TigerSource:
    """Keeps the `Source` protocol; the score is the sum of the tokens' log-probabilities.

    Args:
        model: trained; it is put into eval mode, and later changes of its weights are not seen.
        num_beams: prefixes kept after each level; more where more items are asked for.
    """

    name = "tiger"

    def __init__(self, model: Tiger, *, num_beams: int = 50) -> None:
        model.train(False)
        self.model, self.num_beams = model, num_beams
        self._weights = T5Weights(model.t5, model.shape)
        self._index = PrefixIndex(model.codes.cpu().numpy()).to(model.codes.device)
        self._filters = FilterCache(self._index)

    @torch.inference_mode()
    def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        """The k items that beam search finds for each question."""
        return answer_in_parts(requests, REQUESTS_AT_ONCE, lambda part: self._recommend(part, k))

    def _recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        tokens = self.model.tokens(requests.item_index.to(self._index.device))
        beams = beam_search(
            T5Decoder(self._weights, self._index, tokens),
            self._index,
            num_requests=len(requests),
            num_beams=max(self.num_beams, k),
            eligibility=Eligibility(
                self._index,
                len(requests),
                allowed=requests.allowed,
                excluded=requests.excluded,
                filters=self._filters,
            ),
        )
        return Recommendations(
            item_index=beams.item_index[:, :k].cpu(),
            score=beams.log_prob[:, :k].cpu(),
            source=self.name,
            backend=beams.backend,
        )
