"""Figures of others on Amazon 2014, 5-core, leave-last-out, all items ranked.

R@5, N@5, R@10 and N@10 as they were reported; their protocols differ in detail, and few of them
were replicated. `–` where a figure was not reported.
"""

from __future__ import annotations

__all__ = ["PUBLISHED"]

PUBLISHED: dict[str, tuple[tuple[str, str, str, str, str], ...]] = {
    "amazon-beauty": (
        ("SASRec, binary cross-entropy", ".0387", ".0249", ".0605", ".0318"),
        ("SASRec, full softmax (RecBole)", ".0543", ".0315", ".0821", ".0405"),
        ("SASRec, full softmax, 3 seeds", "–", "–", ".0859", ".0503"),
        ("TIGER, the paper", ".0454", ".0321", ".0648", ".0384"),
        ("TIGER, best re-implementation", ".0419", ".0270", ".0634", ".0338"),
        ("HSTU, a re-implementation", ".0486", ".0340", ".0708", ".0412"),
        ("LC-Rec, 1.7B parameters", ".0525", ".0352", ".0791", ".0438"),
        ("ActionPiece", ".0511", ".0340", ".0775", ".0424"),
        ("RPG", ".0550", ".0381", ".0809", ".0464"),
        ("UniGRec", ".0548", ".0368", ".0825", ".0457"),
        ("OneRec-Think, 1.7B parameters", ".0563", ".0398", ".0791", ".0471"),
        ("GRLM, 4B parameters", ".0607", "–", "–", ".0506"),
        ("MemGen, SASRec and TIGER gated", "–", "–", ".0841", ".0476"),
        ("BARGE, 19.9M parameters, not replicated", "–", "–", ".0927", ".0547"),
    ),
    "amazon-sports": (
        ("SASRec, binary cross-entropy", ".0233", ".0154", ".0350", ".0192"),
        ("TIGER, the paper", ".0264", ".0181", ".0400", ".0225"),
        ("TIGER, best re-implementation", ".0240", ".0155", ".0394", ".0204"),
        ("HSTU, a re-implementation", ".0243", ".0168", ".0365", ".0207"),
        ("LC-Rec, 1.7B parameters", ".0281", ".0181", ".0422", ".0226"),
        ("ActionPiece", ".0316", ".0205", ".0500", ".0264"),
        ("RPG", ".0314", ".0216", ".0463", ".0263"),
        ("OneRec-Think, 1.7B parameters", ".0288", ".0199", "–", ".0239"),
        ("GRLM, 4B parameters", ".0375", "–", "–", ".0313"),
        ("MemGen, SASRec and TIGER gated", "–", "–", ".0537", ".0296"),
        ("BARGE, 19.9M parameters, not replicated", "–", "–", ".0544", ".0308"),
    ),
    "amazon-toys": (
        ("SASRec, binary cross-entropy", ".0463", ".0306", ".0675", ".0374"),
        ("TIGER, the paper", ".0521", ".0371", ".0712", ".0432"),
        ("TIGER, best re-implementation", ".0362", ".0237", ".0583", ".0308"),
        ("HSTU, a re-implementation", ".0504", ".0368", ".0685", ".0427"),
        ("LC-Rec, 1.7B parameters", ".0444", ".0294", ".0683", ".0371"),
        ("RPG", ".0592", ".0401", ".0869", ".0490"),
        ("OneRec-Think, 1.7B parameters", ".0579", ".0412", "–", ".0482"),
        ("GRLM, 4B parameters", "–", "–", ".0942", ".0561"),
    ),
}
