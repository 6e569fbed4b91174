"""A model hub on this machine: it speaks what an upload and a download of `transformers` need."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REVISION = "0" * 39 + "1"


class HubStub(ThreadingHTTPServer):
    """One repository's files, and what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        """The repository, by path."""
        self.large: dict[str, bytes] = {}
        """What was uploaded as a large file, by SHA-256."""
        self.commits: list[list[str]] = []
        """Paths of each commit."""
        self.unknown: list[str] = []
        """Requests that the stand-in does not understand."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, operations: list[dict[str, Any]]) -> None:
        added = {}
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                added[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                added[value["path"]] = self.large[value["oid"]]
        self.files.update(added)
        self.commits.append(sorted(added))


@contextmanager
def running_hub() -> Iterator[HubStub]:
    """A hub that answers until the block is left."""
    with HubStub() as hub:
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """The requests of huggingface_hub; weights go the way of large files (git-lfs)."""

    server: HubStub

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_POST(self) -> None:
        body, hub = self._body(), self.server
        path = self.path.partition("?")[0]
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self._answer(json.dumps({"url": f"{hub.endpoint}/{name}"}).encode())
        elif path == "/api/validate-yaml":
            self._answer(json.dumps({"errors": [], "warnings": []}).encode())
        elif "/preupload/" in path:
            modes = [
                {"path": each["path"], "uploadMode": _mode(each["path"]), "shouldIgnore": False}
                for each in json.loads(body)["files"]
            ]
            self._answer(json.dumps({"files": modes}).encode())
        elif path.endswith(".git/info/lfs/objects/batch"):
            self._answer(json.dumps({"transfer": "basic", "objects": self._large(body)}).encode())
        elif "/commit/" in path:
            hub.commit([json.loads(line) for line in body.splitlines()])
            name = path.removeprefix("/api/models/").partition("/commit/")[0]
            done = {"commitUrl": f"{hub.endpoint}/{name}/commit/{REVISION}", "commitOid": REVISION}
            self._answer(json.dumps(done).encode())
        else:
            self._unknown()

    def do_PUT(self) -> None:
        content = self._body()
        self.server.large[hashlib.sha256(content).hexdigest()] = content
        self._answer(b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/") and "/revision/" in self.path:
            name = self.path.removeprefix("/api/models/").partition("/revision/")[0]
            self._answer(json.dumps({"id": name, "sha": REVISION}).encode())
            return
        if "/resolve/" not in self.path:
            self._unknown()
            return
        content = self.server.files.get(self.path.partition("/resolve/")[2].partition("/")[2])
        if content is None:
            self._answer(b"", status=404, headers={"X-Error-Code": "EntryNotFound"})
            return
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        self._answer(content, headers={"ETag": etag, "X-Repo-Commit": REVISION})

    def _large(self, body: bytes) -> list[dict[str, Any]]:
        """Where each large file shall be put."""
        return [
            {
                "oid": each["oid"],
                "size": each["size"],
                "actions": {"upload": {"href": f"{self.server.endpoint}/large/{each['oid']}"}},
            }
            for each in json.loads(body)["objects"]
        ]

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _unknown(self) -> None:
        self.server.unknown.append(f"{self.command} {self.path}")
        self._answer(b"{}", status=404)

    def _answer(
        self, content: bytes, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _mode(path: str) -> str:
    return "lfs" if path.endswith(".safetensors") else "regular"
