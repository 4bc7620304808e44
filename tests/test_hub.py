"""Runs go to a hub and come back: a server on the loopback address keeps what is uploaded."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import genzoo
from genzoo.cli import execute
from genzoo.errors import UsageError
from genzoo.runs import downloaded
from genzoo.runs.find import elsewhere, find_run

pytest.importorskip("huggingface_hub")


class Hub(http.server.ThreadingHTTPServer):
    """As much of the hub's protocol as creating, uploading and fetching a repository takes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        address = f"http://127.0.0.1:{self.server.server_port}"
        if self.path == "/api/repos/create":
            given = json.loads(body)
            name = f"{given['organization']}/{given['name']}"
            if name.startswith("forbidden/"):
                return self._answer({"error": "not yours"}, 403)
            self.server.repositories.setdefault(name, {})
            return self._answer({"url": f"{address}/{name}", "private": given.get("private")})
        if self.path == "/api/validate-yaml":
            assert json.loads(body)["content"].startswith("---\nlibrary_name: genzoo\n")
            return self._answer({"errors": [], "warnings": []})
        name = "/".join(self.path.split("/")[3:5])
        if "/preupload/" in self.path:
            paths = [file["path"] for file in json.loads(body)["files"]]
            files = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
            return self._answer({"files": files})
        for line in body.decode().splitlines():
            row = json.loads(line)
            if row["key"] == "file":
                self.server.repositories[name][row["value"]["path"]] = base64.b64decode(row["value"]["content"])
        return self._answer({"commitUrl": f"{address}/{name}/commit/{'a' * 40}", "commitOid": "a" * 40})

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        parts = self.path.partition("?")[0].strip("/").split("/")
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        files = self.server.repositories.get(name)
        if files is None:
            return self._answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        if parts[0] == "api":
            info = {"id": name, "sha": "a" * 40, "private": False, "tags": [], "downloads": 0, "likes": 0}
            listed = [
                {"type": "file", "path": path, "size": len(data), "oid": digest(data)} for path, data in files.items()
            ]
            return self._answer(
                listed if "tree" in parts else {**info, "siblings": [{"rfilename": path} for path in files]}
            )
        data = files["/".join(parts[4:])]
        return self._send(data, 200, {"ETag": f'"{digest(data)}"', "X-Repo-Commit": "a" * 40})

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(content).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""


def digest(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> genzoo.Run:
    out = tmp_path_factory.mktemp("runs")
    network = ("mlp", {"hidden": (16,)})
    return genzoo.run("vae", data="digits", network=network, epochs=1, limit=64, viz=[], progress=False, out=out)


def call(hub: Hub, home: Path, *words: str, python: str = "") -> subprocess.CompletedProcess[str]:
    """A command, or a line of Python, in a process that knows this hub alone."""
    settings = {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HOME": str(home / "hf"),
        "HF_TOKEN": "hf_test",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-c", python] if python else [sys.executable, "-m", "genzoo", *words]
    return subprocess.run(
        command, cwd=home, env={**os.environ, **settings}, capture_output=True, text=True, encoding="utf-8", timeout=200
    )


def test_a_run_that_is_pushed_is_loaded_by_its_name(hub: Hub, run: genzoo.Run, tmp_path: Path) -> None:
    hub.repositories.pop("someone/digits", None)
    words = ("export", str(run.path), "--to", "hub-folder", "--out", "out", "--push", "someone/digits")
    done = call(hub, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert f"/someone/digits/commit/{'a' * 40}" in done.stdout
    files = hub.repositories["someone/digits"]
    assert {"README.md", "config.toml", "run.json", "metrics.jsonl"} < set(files)
    for path, data in files.items():
        assert data == (tmp_path / "out" / path).read_bytes()
    files["evil.pkl"] = b"never fetched"
    hub.asked.clear()
    seen = "import genzoo\nfor p in genzoo.load('hf:someone/digits').model.parameters(): print(float(p.sum()))"
    found = call(hub, tmp_path, python=seen)
    assert found.returncode == 0, found.stderr
    assert [float(line) for line in found.stdout.split()] == [float(p.sum()) for p in run.model.parameters()]
    assert not any("evil" in path for path in hub.asked)
    drawn = call(hub, tmp_path, "viz", "hf:someone/digits@main", "samples")
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "digits-figures" / "samples.png").exists()
    for words, message in (
        (("runs", "rm", "hf:someone/digits"), "is not yours to remove"),
        (("run", "--resume", "hf:someone/digits"), "--resume must name a run of yours"),
    ):
        refused = call(hub, tmp_path, *words)
        assert refused.returncode == 2
        assert message in refused.stderr


def test_what_the_hub_refuses_is_said(hub: Hub, run: genzoo.Run, tmp_path: Path) -> None:
    absent = call(hub, tmp_path, "sample", "hf:someone/absent")
    assert absent.returncode == 2
    assert "hf:someone/absent could not be fetched (RepositoryNotFoundError" in absent.stderr
    hub.repositories["someone/other"] = {"config.toml": b"", "README.md": b""}
    other = call(hub, tmp_path, "sample", "hf:someone/other")
    assert other.returncode == 2
    assert "must hold a run of genzoo" in other.stderr
    forbidden = call(
        hub, tmp_path, "export", str(run.path), "--to", "hub-folder", "--out", "out", "--push", "forbidden/digits"
    )
    assert forbidden.returncode == 2
    assert "forbidden/digits could not be uploaded (HfHubHTTPError" in forbidden.stderr
    assert (tmp_path / "out" / "README.md").exists()


@pytest.mark.parametrize("name", ["hf:", "hf:name", "hf:a/b/c", "hf:../x", "hf:a/b@", "hf:a b/c"])
def test_names_that_are_none_are_refused_before_anything_is_fetched(name: str) -> None:
    with pytest.raises(UsageError, match="must be hf:USER/NAME"):
        find_run(name)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloaded, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs huggingface_hub, which is not installed"):
        find_run("hf:someone/digits")


def test_short_names_of_runs_elsewhere() -> None:
    assert elsewhere("zoo:report-vae") == "report-vae"
    assert elsewhere("hf:someone/digits@v1/x") == "digits"
    assert elsewhere("last") is None


def test_push_goes_with_a_hub_folder_alone(run: genzoo.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["--to", "torch", "--push", "a/b"], "--push goes with --to hub-folder"),
        (["--to", "hub-folder", "--push", "name"], "--push must be USER/NAME, got 'name'"),
    ):
        assert execute(["export", str(run.path), "--out", str(tmp_path / "out"), *words]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
