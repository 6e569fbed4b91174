"""Alterations of a run whose manifests and checksums agree with them again, drawn by a seed."""

from __future__ import annotations

import hashlib
import io
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from genrec.artifacts import sha256
from genrec.artifacts.folders import _checksum

ABSURD: tuple[Any, ...] = (
    *(None, True, -1, 0, 3, 10**9, 10**12, 10**18, 10**400, 1.5, -0.5, 1e300),
    *("", "x", "../../etc/passwd", "\ud800", [], [1], {}, {"x": 1}, [10**12] * 3),
)
NOT_JSON = (
    *("", "null", "[]", "{", '{"a": NaN}', '{"a": 1e999}', "[" * 100_000, "1" * 10_000, "\x00"),
    *('{"a":1,"a":2}', "\ufeff{}", '{"a":' * 50_000),
)

Mutation = tuple[str, str, Callable[[Path], None]]
"""The file's name, what is done, and what does it to a file."""


def make_consistent(folder: Path) -> None:
    """Writes sizes and checksums of an artefact's files as whoever altered them would."""
    place = folder / "manifest.json"
    if not place.is_file():
        return  # a journal
    manifest = json.loads(place.read_text())
    manifest.pop("checksum")
    manifest["files"] = {
        str(file.relative_to(folder)): {
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "bytes": file.stat().st_size,
        }
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != place
    }
    manifest["checksum"] = _checksum(manifest)
    place.write_text(json.dumps(manifest, indent=1, sort_keys=True))


def follow_digests(run: Path) -> None:
    """Lets the artefacts that were made from an altered one name it as it is now."""
    folders = [folder for folder in run.iterdir() if (folder / "manifest.json").is_file()]
    for _ in range(4):  # data, embeddings, two_tower, semantic_ids and what is made of them
        digests = {each.name: sha256(each / "manifest.json") for each in folders}
        for folder in folders:
            _rename_parents(folder / "manifest.json", digests)


def _rename_parents(place: Path, digests: Mapping[str, str]) -> None:
    try:
        manifest = json.loads(place.read_text())
        parents = {name: digests.get(name, old) for name, old in manifest["parents"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return  # it is the one that was altered
    if parents != manifest["parents"]:
        manifest["parents"] = parents
        manifest.pop("checksum")
        manifest["checksum"] = _checksum(manifest)
        place.write_text(json.dumps(manifest, indent=1, sort_keys=True))


def draw_mutations(run: Path, num_mutations: int, seed: int) -> Iterator[Mutation]:
    """Alterations of the files and configurations of a run, each kind of file as often as others.

    Args:
        run: what they are drawn for; it is only read.
        num_mutations: how many.
        seed: of the draws.
    """
    random = Random(seed)
    files = sorted(
        str(file.relative_to(run))
        for file in run.rglob("*")
        if file.is_file() and "work" not in file.relative_to(run).parts and file.suffix != ".md"
        if not file.name.endswith((".lock", ".head"))
    )
    for number in range(num_mutations):
        name = files[number % len(files)]
        yield draw_mutation(run, name, random)


def draw_mutation(run: Path, name: str, random: Random) -> Mutation:  # noqa: PLR0911
    """One alteration of one file; values of what only a training knows are left alone."""
    file = run / name
    if file.suffix == ".json" and random.random() < 0.75:
        return _of_json(name, json.loads(file.read_text()), random)
    if file.suffix == ".json":
        text = random.choice(NOT_JSON)
        return name, f"is {text[:20]!r}", lambda at: _write(at, text.encode("utf-8"))
    if file.suffix == ".npy":
        return _of_array(name, np.load(file), random)
    if file.suffix == ".npz":
        return _of_arrays(name, file.read_bytes(), random)
    if file.suffix == ".safetensors" and random.random() < 0.8:
        return _of_weights(name, file.read_bytes(), random)
    if file.suffix == ".txt" and random.random() < 0.8:
        return _of_text(name, file.read_text(), random)
    return _of_bytes(name, file.read_bytes(), random)


def _of_json(name: str, record: Any, random: Random) -> Mutation:
    places = list(_places(record))
    place = random.choice(places)
    if random.random() < 0.25:
        return name, f"{place} is gone", lambda at: _edit(at, place, None, removes=True)
    value = random.choice(ABSURD)
    return (
        name,
        f"{place} is {value!r:.20}",
        lambda at: _edit(at, place, value, removes=False),
    )


def _places(record: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys: list[Any] = []
    if isinstance(record, dict):
        keys = list(record)
    elif isinstance(record, list):
        keys = list(range(min(len(record), 3)))
    for key in keys:
        yield (*above, key)
        yield from _places(record[key], (*above, key))


def _edit(file: Path, place: tuple[Any, ...], value: Any, *, removes: bool) -> None:
    record = json.loads(file.read_text())
    within = record
    for key in place[:-1]:
        within = within[key]
    if removes:
        del within[place[-1]]
    else:
        within[place[-1]] = value
    if file.name == "manifest.json" and isinstance(
        record, dict
    ):  # of its own checksum it is consistent
        record.pop("checksum", None)
        record["checksum"] = _checksum(record)
    file.write_text(json.dumps(record))


def _of_array(name: str, values: np.ndarray[Any, Any], random: Random) -> Mutation:
    what, altered = _altered(values, random)
    buffer = io.BytesIO()
    np.save(buffer, altered)
    return name, what, lambda at: _write(at, buffer.getvalue())


def _of_arrays(name: str, content: bytes, random: Random) -> Mutation:
    with np.load(io.BytesIO(content)) as arrays:
        found = {key: arrays[key] for key in arrays}
    key = random.choice(sorted(found))
    if random.random() < 0.2:
        what, found = f"lacks {key}", {each: found[each] for each in found if each != key}
    else:
        what, found[key] = _altered(found[key], random)
    buffer = io.BytesIO()
    np.savez(buffer, **found)
    return name, f"{key} {what}", lambda at: _write(at, buffer.getvalue())


def _altered(  # noqa: PLR0911
    values: np.ndarray[Any, Any], random: Random
) -> tuple[str, np.ndarray[Any, Any]]:
    """Always something that no file of this kind has: another type, shape, size or range."""
    number = values.dtype.kind == "f"
    ways = ["type", "rank", "shorter", "longer", "texts"]
    if values.size and values.dtype.kind != "b":
        ways += ["not a number"] if number else ["far out"]
    way = random.choice(ways)
    if way == "type":
        return "is of another type", values.astype(np.float16 if number else np.int8)
    if way == "rank":
        return "has another rank", values[None]
    if way == "shorter":
        return "is shorter", values[: len(values) // 2] if len(values) > 1 else values[:0, None]
    if way == "longer":
        return "is longer", np.concatenate([values, values[:1], values[:1], values[:1]])[
            :, None
        ] if not values.size else np.concatenate([values, values[:1]])
    if way == "texts":
        return "are texts", np.full(values.shape, "x")
    altered = values.copy()
    place = random.randrange(values.size)
    if number:
        altered.flat[place] = random.choice([np.nan, np.inf, -np.inf])
        return "is not a number", altered
    altered.flat[place] = np.iinfo(values.dtype).max
    return "is far out", altered


def _of_weights(name: str, content: bytes, random: Random) -> Mutation:
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    tensors = [key for key in header if key != "__metadata__"]
    key = random.choice(tensors)
    entry = header[key]
    way = random.choice(["shape", "dtype", "offsets", "name", "gone", "nan", "header length"])
    if way == "shape":
        entry["shape"] = random.choice([[10**12], [], [-1], [1, *entry["shape"], 1], "x"])
    elif way == "dtype":
        entry["dtype"] = random.choice(["F64", "BF16", "BOOL", "x", None])
    elif way == "offsets":
        entry["data_offsets"] = random.choice([[0, 10**15], [-1, 4], [4, 0], [], None])
    elif way == "name":
        header[f"{key}x"] = header.pop(key)
    elif way == "gone":
        del header[key]
    elif way == "nan" and entry["dtype"] == "F32" and entry["data_offsets"][1]:
        end = entry["data_offsets"][1]
        if entry["data_offsets"][0] < end:
            data[end - 4 : end] = struct.pack("<f", random.choice([float("nan"), float("inf")]))
        else:
            del header[key]
    else:
        length_said = random.choice([0, 1, 10**15, 2**63, length - 1, length + 9])
        return (
            name,
            f"header of {length_said}",
            lambda at: _write(at, struct.pack("<Q", length_said) + content[8:]),
        )
    packed = json.dumps(header).encode()
    return (
        name,
        f"{key}: {way}",
        lambda at: _write(at, struct.pack("<Q", len(packed)) + packed + bytes(data)),
    )


def _of_text(name: str, text: str, random: Random) -> Mutation:
    """Lines of a model's text; not a value within its range, which nobody can tell from another."""
    lines = text.partition("end of trees")[0].split("\n")
    row = random.choice([row for row, line in enumerate(lines) if line])
    key, equals, value = lines[row].partition("=")
    words = value.split(" ")
    way = random.choice(["gone", "twice", "word gone", "word more", "far out", "texts", "cycle"])
    if way == "cycle" and key in ("left_child", "right_child"):
        words[-1] = "0"
    elif way in ("far out", "cycle"):
        words[random.randrange(len(words))] = random.choice(["1e999", "nan", "-1e400", "x", "[]"])
    elif way == "word gone":
        words = words[:-1]
    elif way == "word more":
        words = [*words, "7", "7"]
    elif way == "texts":
        words = ["x" * 1000]
    replaced = [f"{key}{equals}{' '.join(words)}"]
    if way in ("gone", "twice"):
        replaced = [] if way == "gone" else [lines[row], lines[row]]
    altered = [*lines[:row], *replaced, *lines[row + 1 :]]
    whole = "\n".join(altered) + text[len(text.partition("end of trees")[0]) :]
    return name, f"line {row} {key} {way}", lambda at: _write(at, whole.encode())


def _of_bytes(name: str, content: bytes, random: Random) -> Mutation:
    way = random.choice(["cut", "empty", "flip", "zeros", "longer", "noise"])
    altered = bytearray(content)
    if way == "cut":
        altered = altered[: random.randrange(1, len(content))]
    elif way == "empty":
        altered = bytearray()
    elif way == "flip":  # in the first bytes, where formats say what they are
        altered[random.randrange(min(8, len(content)))] ^= 1 << random.randrange(8)
    elif way == "zeros":  # there too: among weights, one value is as good as another
        altered[:64] = bytes(len(altered[:64]))
    elif way == "longer":
        altered += bytes(random.randrange(1, 100))
    else:
        altered = bytearray(random.randbytes(len(content)))
    return name, way, lambda at: _write(at, bytes(altered))


def _write(file: Path, content: bytes) -> None:
    file.write_bytes(content)
