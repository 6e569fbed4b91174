"""Saved folders: written whole or not at all, and checked before any parser reads a byte."""

from genrec.artifacts.current import is_current, refuse_other_settings
from genrec.artifacts.files import replace_file, write_page
from genrec.artifacts.folders import (
    MANIFEST_NAME,
    Artifact,
    read,
    sha256,
    writing,
)
from genrec.artifacts.locks import claim
from genrec.artifacts.places import explained, put_in_place, staging_for

__all__ = [
    "MANIFEST_NAME",
    "Artifact",
    "claim",
    "explained",
    "is_current",
    "put_in_place",
    "read",
    "refuse_other_settings",
    "replace_file",
    "sha256",
    "staging_for",
    "write_page",
    "writing",
]
