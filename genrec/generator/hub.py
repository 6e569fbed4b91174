"""A model that keeps its card: read with the weights, saved and published beside them."""

from __future__ import annotations

import logging
from os import PathLike
from pathlib import Path
from typing import Any, Self

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from transformers import PreTrainedModel

from genrec.errors import InputError

logger = logging.getLogger(__name__)

__all__ = ["CARD_NAME", "ModelWithCard"]

CARD_NAME = "README.md"
DOWNLOAD_OPTIONS = (
    "cache_dir",
    "force_download",
    "local_files_only",
    "revision",
    "subfolder",
    "token",
)
"""What `from_pretrained` takes that decides from where a file is read."""


class ModelWithCard(PreTrainedModel):
    """`transformers`' model, whose card stays what it is where the library would write its own."""

    card: str | None = None
    """The model card, Markdown; None where the model was loaded or made without one."""

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | PathLike[str] | None, *args: Any, **options: Any
    ) -> Self:
        """The model of a folder or of a repository of the hub, in eval mode, with its card.

        Args:
            pretrained_model_name_or_path: the folder, or the repository's name.
            args: as `transformers` takes them.
            options: as `transformers` takes them.
        """
        loaded: Any = super().from_pretrained(pretrained_model_name_or_path, *args, **options)
        # With output_loading_info it is a tuple, the model first.
        model: Self = loaded[0] if isinstance(loaded, tuple) else loaded
        asked = {name: options[name] for name in DOWNLOAD_OPTIONS if name in options}
        if pretrained_model_name_or_path is not None:
            model.card = _read_card(pretrained_model_name_or_path, asked)
        found: Self = loaded
        return found

    def save_pretrained(
        self, save_directory: str | PathLike[str], *args: Any, **options: Any
    ) -> None:
        """Writes configuration, weights and, where there is one, the card.

        Args:
            save_directory: the folder; it is made if need be.
            args: as `transformers` takes them.
            options: as `transformers` takes them.
        """
        super().save_pretrained(save_directory, *args, **options)
        self._write_card(save_directory)

    # Theirs is wrapped, which hides that it takes the same.
    def push_to_hub(self, *args: Any, **options: Any) -> str:  # type: ignore[override]
        """Publishes configuration, weights and card; the URL of the commit comes back.

        Args:
            args: as `transformers` takes them, the repository's name first; it is made if need be.
            options: as `transformers` takes them; `tags` only for a model without a card.

        Raises:
            InputError: tags are given, and the card has its own.
        """
        if self.card is not None and (options.get("tags") or self.model_tags):
            raise InputError(
                "this model has a card, which names its tags; write them into model.card instead "
                f"of giving {options.get('tags') or self.model_tags}"
            )
        url: str = super().push_to_hub(*args, **options)
        return url

    def _upload_modified_files(
        self, working_dir: str | PathLike[str], *args: Any, **options: Any
    ) -> Any:
        """The last step of `transformers` before the upload: by now it has put its card there."""
        self._write_card(working_dir)
        return super()._upload_modified_files(working_dir, *args, **options)

    def _write_card(self, folder: str | PathLike[str]) -> None:
        if self.card is not None:
            (Path(folder) / CARD_NAME).write_bytes(self.card.encode())


def _read_card(name_or_path: str | PathLike[str], options: dict[str, Any]) -> str | None:
    """The card beside the weights; None, and a line in the log, where there is none to be had."""
    folder = Path(name_or_path)
    if folder.is_dir():
        path = folder / (options.get("subfolder") or "") / CARD_NAME
        return path.read_bytes().decode() if path.is_file() else None
    try:
        return Path(hf_hub_download(str(name_or_path), CARD_NAME, **options)).read_bytes().decode()
    except EntryNotFoundError as error:  # also: not in the cache, and nothing may be downloaded
        logger.info("%s: loaded without a model card (%s)", name_or_path, error)
        return None
