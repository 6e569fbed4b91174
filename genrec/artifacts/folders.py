"""A saved folder: written whole or not at all, and checked before any parser reads a byte of it.

An artefact is a folder with a `manifest.json` that names every file with its SHA-256, the
configuration, the seed, the versions and the parents it was made from. It is written under a
temporary name, the manifest last, and then takes its place at once: a folder with a manifest is
complete.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrec.artifacts.locks import claim
from genrec.artifacts.places import explained, put_in_place, set_modes, staging_for, was_interrupted
from genrec.errors import ArtifactError, ArtifactMissingError, BusyError

__all__ = [
    "MANIFEST_NAME",
    "Artifact",
    "as_json",
    "read",
    "refuse_what_is_not_ours",
    "sha256",
    "writing",
]

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1
LARGEST_MANIFEST = 2**26
MOST_READINGS = 20
"""How often an artefact is read anew that was replaced meanwhile."""
RECORDED_PACKAGES = ("genrec", "torch", "transformers", "faiss-cpu", "lightgbm")


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A folder whose every file has been verified against its manifest."""

    path: Path
    kind: str
    config: Mapping[str, Any]
    """What the folder was made with; JSON values only."""
    seed: int | None
    parents: Mapping[str, str]
    """Name of each artefact it was made from, and the digest that one had."""
    digest: str
    """SHA-256 of the manifest: names this very content."""
    created: str
    """Time of writing, ISO 8601, UTC."""

    def file(self, name: str) -> Path:
        """The path of one of its files.

        Raises:
            ArtifactError: the artefact has no such file.
        """
        path = self.path / name
        if not path.is_file():
            raise ArtifactError(f"{self.path} has no file {name!r}; make it again with --force")
        return path


@contextmanager
def writing(
    path: Path | str,
    *,
    kind: str,
    config: Mapping[str, Any],
    seed: int | None = None,
    parents: Mapping[str, Artifact] | None = None,
) -> Iterator[Path]:
    """Gives a temporary folder to fill; on leaving, it becomes the artefact at `path`.

    What stood at `path` before stays until the new folder is complete, and stays for good if the
    block raises.

    Args:
        path: where the artefact shall stand.
        kind: what it is (`data`, `semantic_ids`, …); `read` asks for it.
        config: what it is made with; must be JSON.
        seed: the seed of its making, if chance took part.
        parents: the artefacts it is made from, by name.

    Raises:
        ArtifactError: `path` is a file, an ordinary folder that is not an artefact, or an artefact
            of another kind; or nothing can be written there.
        BusyError: another process is writing it.
    """
    path = Path(path)
    refuse_what_is_not_ours(path, kind)
    with claim(path), explained(path):
        refuse_what_is_not_ours(path, kind)  # an interrupted replacement may have been put back
        staging = staging_for(path)
        staging.mkdir()
        try:
            yield staging
            manifest = {
                "format": FORMAT_VERSION,
                "kind": kind,
                "config": as_json(config),
                "seed": seed,
                "parents": {name: parent.digest for name, parent in (parents or {}).items()},
                "files": _fingerprints(staging),
                "versions": _versions(),
                "git_revision": _git_revision(),
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
            manifest["checksum"] = _checksum(manifest)
            text = json.dumps(manifest, indent=1, sort_keys=True)
            (staging / MANIFEST_NAME).write_text(text, encoding="utf-8")
            set_modes(staging, like=staging / MANIFEST_NAME)
            _sync(staging)
            put_in_place(staging, path)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def read(path: Path | str, *, kind: str) -> Artifact:
    """The artefact at `path`, every file of it verified.

    Raises:
        ArtifactMissingError: nothing complete stands there.
        ArtifactError: another kind, another format, or a file that is missing, added or altered.
    """
    path = Path(path)
    for _ in range(MOST_READINGS):
        stamp = _stamp(path)
        try:
            return _read_once(path, kind)
        except (ArtifactError, FileNotFoundError) as error:
            if isinstance(error, ArtifactMissingError) and was_interrupted(path):
                with claim(path):  # which puts back what stood there
                    continue
            # It was replaced while it was read: what was found is of two artefacts, or of none.
            if _stamp(path) == stamp and isinstance(error, ArtifactError):
                raise
    raise BusyError(f"{path} is being replaced again and again; read it when that is done")


def _read_once(path: Path, kind: str) -> Artifact:
    artifact, files = _read_manifest(path)
    if artifact.kind != kind:
        raise ArtifactError(f"{path} holds {artifact.kind!r}, but {kind!r} is needed here")
    found = {file.relative_to(path).as_posix() for file in _files(path)}
    for name in sorted(set(files) | found):
        if name not in found:
            raise ArtifactError(f"{path}: {name} is missing; make the folder again with --force")
        if name not in files:
            raise ArtifactError(
                f"{path}: {name} is not in its manifest; remove the file, or make the folder again"
            )
        try:
            digest = sha256(path / name)
        except OSError as error:
            raise ArtifactError(
                f"{path}: {name} cannot be read ({error.strerror}); allow this user to read it"
            ) from error
        if digest != files[name]:
            raise ArtifactError(
                f"{path}: {name} was altered after it was written (SHA-256 differs from the "
                "manifest); restore it, or make the folder again with --force"
            )
    return artifact


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Tells one artefact at a place from the next one there; None where there is none."""
    try:
        status = (path / MANIFEST_NAME).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def refuse_what_is_not_ours(path: Path, kind: str) -> None:
    """Raises an ArtifactError where an artefact of this kind would replace anything else."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / MANIFEST_NAME).is_file():
        raise ArtifactError(
            f"{path} exists and is not an artefact of genrec; choose another --out or remove it"
        )
    try:
        artifact, _ = _read_manifest(path)
    except ArtifactError:
        return
    if artifact.kind != kind:
        raise ArtifactError(
            f"{path} holds {artifact.kind!r}, and {kind!r} would replace it; choose another place, "
            "or remove it"
        )


def _read_manifest(path: Path) -> tuple[Artifact, dict[str, str]]:
    """The manifest, checked against its own checksum, and the SHA-256 of every file it names."""
    manifest_path = path / MANIFEST_NAME
    if not manifest_path.is_file():
        raise ArtifactMissingError(
            f"nothing complete stands at {path} (no {MANIFEST_NAME}); "
            "run the program that makes it, or check the path"
        )
    try:
        if manifest_path.stat().st_size > LARGEST_MANIFEST:
            raise ValueError(f"it is larger than {LARGEST_MANIFEST:,} bytes")
        content = manifest_path.read_bytes()
        manifest = json.loads(content)
        checksum, version = manifest.pop("checksum"), manifest["format"]
        artifact = Artifact(
            path=path,
            kind=_typed(manifest, "kind", str),
            config=_typed(manifest, "config", dict),
            seed=_typed(manifest, "seed", int, type(None)),
            parents=_typed(manifest, "parents", dict),
            digest=hashlib.sha256(content).hexdigest(),
            created=_typed(manifest, "created", str),
        )
        files = {
            name: str(entry["sha256"]) for name, entry in _typed(manifest, "files", dict).items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        why = str(error) or type(error).__name__
        raise ArtifactError(
            f"{manifest_path} cannot be read ({why}); make the folder again with --force"
        ) from error
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"{path} has format {version}, this genrec reads {FORMAT_VERSION}; make it again"
        )
    if checksum != _checksum(manifest):
        raise ArtifactError(
            f"{manifest_path} was altered after it was written (its checksum differs); "
            "restore it, or make the folder again with --force"
        )
    return artifact, files


def _typed(manifest: Mapping[str, Any], key: str, *types: type) -> Any:  # Any: a JSON value
    value = manifest[key]
    if not isinstance(value, types) or isinstance(value, bool):
        raise TypeError(f"its {key!r} is a {type(value).__name__}")
    return value


def _files(folder: Path) -> list[Path]:
    """Every file beside the manifest.

    Raises:
        ArtifactError: something is neither a file nor a folder; reading it might never end.
    """
    found = []
    for each in sorted(folder.rglob("*")):
        if each.is_symlink() or not (each.is_file() or each.is_dir()):
            raise ArtifactError(
                f"{each} is no regular file; an artefact has no links, pipes or devices: remove it"
            )
        if each.is_file() and each != folder / MANIFEST_NAME:
            found.append(each)
    return found


def _fingerprints(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        file.relative_to(folder).as_posix(): {"sha256": sha256(file), "bytes": file.stat().st_size}
        for file in _files(folder)
    }


def sha256(file: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checksum(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest's content, so that an altered seed or option is found too."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sync(folder: Path) -> None:
    """Brings every file to the disk before the rename, so that a power cut cannot empty them."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


def as_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as it reads back from JSON, so that old and new compare equal."""
    return dict(json.loads(json.dumps(config)))


def _versions() -> dict[str, str]:
    versions = {}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _git_revision() -> str | None:
    """The revision of the checkout that genrec runs from; None where it is installed."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None
    answer = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or None
