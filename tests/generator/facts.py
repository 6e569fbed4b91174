"""What a card is told in tests: made-up facts that can be found again in its text."""

from __future__ import annotations

from genrec.evaluation import describe_environment
from genrec.generator import GeneratorTraining, TrainingFacts
from genrec.interactions import InteractionDataset, Protocol, describe
from genrec.training import FitResult

RESULT = FitResult(
    best_epoch=2,
    best_metrics={"generative ndcg@10": 0.1234, "dense ndcg@10": 0.2345, "ndcg@10": 0.17895},
    curve=[{"epoch": 1, "loss": 9.0}, {"epoch": 2, "loss": 8.0}, {"epoch": 3, "loss": 7.0}],
    train_seconds=321.0,
)


def facts_of(
    dataset: InteractionDataset,
    protocol: Protocol = Protocol.LEAVE_LAST_OUT,
    *,
    refit: bool = False,
) -> TrainingFacts:
    """Facts of a training on these data."""
    return TrainingFacts(
        data=describe(dataset),
        protocol=protocol,
        refit=refit,
        num_validation_questions=0 if refit else 77,
        settings=GeneratorTraining(width=16, history=8),
        environment=describe_environment(["genrec", "train", "generator"]),
        num_processes=1,
    )
