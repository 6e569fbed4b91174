"""Encodes the text of every item into a vector."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrec import artifacts, console
from genrec.embeddings import (
    DEFAULT_MODEL,
    EMBEDDINGS_KIND,
    ItemEmbeddings,
    embed_texts,
    find_model,
    model_digest,
)
from genrec.interactions import DATA_KIND, InteractionDataset

app = console.program(__doc__)


@app.command()
def embed(
    data: Annotated[Path, typer.Option(help="The data folder, as RUN/data.")],
    out: Annotated[Path, typer.Option(help="The folder to write, as RUN/embeddings.")],
    model: Annotated[
        str,
        typer.Option(
            help="Text encoder: the bundled one, a sentence-transformers folder, or owner/name on "
            "the Hugging Face hub (the only choice that uses the network)."
        ),
    ] = DEFAULT_MODEL,
    max_tokens: Annotated[
        int, typer.Option(help="What a text has beyond this many tokens is not read.", min=1)
    ] = 128,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where vectors are kept between runs; ~/.cache/genrec if left out."),
    ] = None,
    force: Annotated[bool, typer.Option(help="Write it anew even if nothing has changed.")] = False,
) -> None:
    parents = {"data": artifacts.read(data, kind=DATA_KIND)}
    config = {
        "model": model,
        "model_digest": model_digest(find_model(model)),
        "max_tokens": max_tokens,
    }
    console.hold(artifacts.claim(out))
    if not force and artifacts.is_current(
        out, kind=EMBEDDINGS_KIND, config=config, parents=parents
    ):
        console.say(f"{out} is up to date; --force makes it anew")
        return
    if not force:
        artifacts.refuse_other_settings(out, kind=EMBEDDINGS_KIND, config=config, parents=parents)
    texts = InteractionDataset.load(data).catalogue.texts()
    encoded = embed_texts(texts, model, cache_dir=cache, max_tokens=max_tokens)
    ItemEmbeddings(vectors=encoded.vectors, model=model).save(out, config=config, parents=parents)
    num_items, width = encoded.vectors.shape
    console.say(
        f"{num_items:,} items, width {width}; {encoded.num_encoded:,} distinct texts encoded, the "
        "others taken from the cache"
    )
    console.say(f"wrote {out}")


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
