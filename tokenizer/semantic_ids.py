"""Gives every item a Semantic ID of its own, and says how sound the IDs are.

On several GPUs: `accelerate launch -m tokenizer.semantic_ids` with the same options; on several
processes without a GPU: `torchrun --nproc_per_node 2 -m tokenizer.semantic_ids`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from genrec import artifacts, console
from genrec.errors import InputError
from genrec.interactions import DATA_KIND, InteractionDataset, Protocol
from genrec.semantic_ids import (
    SEMANTIC_IDS_KIND,
    Method,
    ProductConfig,
    ResidualKMeansConfig,
    RqVaeConfig,
    TokenizerConfig,
    fit_semantic_ids,
    refuse_to_lose_items,
    replacing,
    tokenizer_record,
)
from genrec.training import can_go_on, discard_checkpoint, discard_finished_checkpoint
from genrec.training.processes import processes

from . import additions, changes, inspection
from .inputs import Inputs, ItemSource

app = console.program(__doc__)
app.command("inspect")(inspection.inspect)
app.command("add")(additions.add)
app.command("change")(changes.change)
app.command("remove")(changes.remove)
app.command("compact")(additions.compact)

ALIGNMENT_WEIGHT = 300.0
TRUTH = {"true": True, "yes": True, "false": False, "no": False}


TwoTowerOption = Annotated[
    Path | None,
    typer.Option(
        help="A trained retriever, as RUN/two_tower: its item vectors are the collaborative ones, "
        "and better than those made from co-occurrence."
    ),
]
ModalityOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=FILE",
        help="One more vector an item (.npy, .parquet, or a folder of embeddings), fused with the "
        "others; NAME collaborative replaces the vectors learnt here.",
    ),
]
WeightOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=NUMBER", help="Weight of a modality, against 1 for the content."),
]
SettingOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other setting of the method, as --set num_epochs=60 or --set balanced=true.",
    ),
]


@app.callback(invoke_without_command=True)
def tokenize(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(help="The data folder, as RUN/data.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write, as RUN/semantic_ids.")
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="The items' content vectors, as RUN/embeddings; without them the items' texts are "
            "encoded as `genrec embed` does it by default."
        ),
    ] = None,
    two_tower: TwoTowerOption = None,
    method: Annotated[
        Method | None,
        typer.Option(help="How codes are found; rkmeans if left out, rqvae for aligned inputs."),
    ] = None,
    inputs: Annotated[
        Inputs, typer.Option(help="What the codes describe; aligned is for rqvae alone.")
    ] = Inputs.FUSED,
    split: Annotated[
        Protocol, typer.Option(help="Whose training part collaborative vectors learn from.")
    ] = Protocol.LEAVE_LAST_OUT,
    modality: ModalityOption = None,
    weight: WeightOption = None,
    levels: Annotated[int, typer.Option(help="Codes an item has.", min=1)] = RqVaeConfig.num_levels,
    codes: Annotated[
        int, typer.Option(help="Codes to choose from on each level.", min=1)
    ] = RqVaeConfig.num_codes,
    setting: SettingOption = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and k-means.")] = RqVaeConfig.seed,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where vectors are kept between runs; ~/.cache/genrec if left out."),
    ] = None,
    force: Annotated[bool, typer.Option(help="Make them anew even if nothing changed.")] = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    if data is None or out is None:
        raise InputError("tokenize needs --data and --out; `inspect IDS` shows what is there")
    source = ItemSource(
        inputs=inputs,
        split=split,
        embeddings=embeddings,
        two_tower=two_tower,
        modalities=files_of(console.named_values(modality or [], "--modality")),
        weights=weights_of(console.named_values(weight or [], "--weight")),
        cache=cache,
    )
    config = with_settings(
        replace(default_config(method, inputs), num_levels=levels, num_codes=codes, seed=seed),
        console.named_values(setting or [], "--set"),
    )
    fit(data, out, source, config, force=force)


def fit(data: Path, out: Path, source: ItemSource, config: TokenizerConfig, *, force: bool) -> None:
    """Makes the ids, unless just these stand at `out`."""
    parents = {"data": artifacts.read(data, kind=DATA_KIND)}
    parents |= source.parents(parents["data"])
    record = {**tokenizer_record(config), **source.record()}
    if processes().is_main_process:
        console.hold(artifacts.claim(out))
    work_dir = out.parent / "work" / out.name
    if not force and artifacts.is_current(
        out, kind=SEMANTIC_IDS_KIND, config=record, seed=config.seed, parents=parents
    ):
        if processes().is_main_process:
            discard_finished_checkpoint(work_dir, out)
            console.say(f"{out} is up to date; --force makes it anew")
        return
    if not force:
        refuse_to_lose_items(out)
        if not can_go_on(work_dir, out):
            artifacts.refuse_other_settings(
                out, kind=SEMANTIC_IDS_KIND, config=record, seed=config.seed, parents=parents
            )
    content, modalities = source.read(InteractionDataset.load(data), seed=config.seed)
    ids = fit_semantic_ids(
        content, config, modalities=modalities, device=device_of_fit(), work_dir=work_dir
    )
    if not processes().is_main_process:
        return
    with replacing(out, discard=force):
        ids.save(out, config=record, parents=parents)
    discard_checkpoint(work_dir)
    inspection.show_health(ids)
    console.say(f"wrote {out}")


def device_of_fit() -> str:
    """This process's GPU, if there is one; other accelerators have no kernel."""
    device = processes().device
    return str(device) if device.type == "cuda" else "cpu"


def default_config(method: Method | None, inputs: Inputs) -> TokenizerConfig:
    """What was measured best for these inputs, by this method or by any.

    Raises:
        InputError: only an RQ-VAE can be aligned.
    """
    if method is None:
        method = Method.RQVAE if inputs is Inputs.ALIGNED else Method.RKMEANS
    if inputs is Inputs.ALIGNED and method is not Method.RQVAE:
        raise InputError(f"only rqvae can be aligned, not {method}; use --inputs fused with it")
    match method:
        case Method.RQVAE:
            aligned = ALIGNMENT_WEIGHT if inputs is Inputs.ALIGNED else 0.0
            return RqVaeConfig(alignment_weight=aligned)
        case Method.RKMEANS:
            return ResidualKMeansConfig()
        case Method.OPQ:
            return ProductConfig()


def with_settings(config: TokenizerConfig, values: Mapping[str, str]) -> TokenizerConfig:
    """The configuration with these fields changed; their texts are read as the field's type.

    Raises:
        InputError: a field that the method does not have, or a value of another type.
    """
    changes: dict[str, Any] = {}
    for name, text in values.items():
        if name not in vars(config):
            known = ", ".join(sorted(vars(config)))
            raise InputError(f"--set: {config.method} has no setting {name!r}; it has {known}")
        kind = type(getattr(config, name))
        try:
            changes[name] = TRUTH[text.lower()] if kind is bool else kind(text)
        except (ValueError, KeyError) as error:
            raise InputError(f"--set {name}: {text!r} is no {kind.__name__}") from error
    return replace(config, **changes)


def files_of(values: Mapping[str, str]) -> dict[str, Path]:
    """Where the vectors of modalities stand."""
    return {name: Path(file) for name, file in values.items()}


def weights_of(values: Mapping[str, str]) -> dict[str, float]:
    """The weights of modalities.

    Raises:
        InputError: one is no number.
    """
    weights = {}
    for name, text in values.items():
        try:
            weights[name] = float(text)
        except ValueError as error:
            raise InputError(f"--weight {name}: {text!r} is no number") from error
    return weights


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
