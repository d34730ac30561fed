from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from compressai_vq.errors import CodecError
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.pretrained import pretrained_weights
from compressai_vq.published import CHECKPOINT_NAME, published_weights

from .taming_reference import Reference, one_thread, save_lightning  # noqa: F401


class Server:
    """Serves one file on this machine; tests change what it serves and how."""

    def __init__(self) -> None:
        self.data = b""
        self.missing = 0  # bytes that are promised and not sent
        self.status = 200
        self.requests = 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests += 1
                self.send_response(server.status)
                self.send_header("Content-Length", str(len(server.data)))
                self.end_headers()
                self.wfile.write(server.data[: len(server.data) - server.missing])

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/last.ckpt"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("checkpoint") / "last.ckpt"
    save_lightning(path, Reference(64).state_dict())
    return path.read_bytes()


@pytest.fixture
def server(checkpoint: bytes) -> Iterator[Server]:
    server = Server()
    server.data = checkpoint
    yield server
    server.close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPRESSAI_VQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


def names(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


WEIGHTS = "mao2024-vqgan.safetensors"
RECORD = f"{CHECKPOINT_NAME}.sha256"


def test_downloads_converts_and_remembers(
    server: Server, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = published_weights(progress=True, url=server.url)
    assert "downloading" in capfd.readouterr().err
    assert weights.architecture == "mao2024-vqgan"
    assert weights.calibration == "uniform"
    assert weights.qualities == [4]
    assert weights.fingerprint == hashlib.sha256((cache / WEIGHTS).read_bytes()).digest()
    assert names(cache) == {WEIGHTS, CHECKPOINT_NAME, RECORD}
    assert (cache / CHECKPOINT_NAME).read_bytes() == server.data
    assert (cache / RECORD).read_text().strip() == hashlib.sha256(server.data).hexdigest()

    again = published_weights(progress=False, url=server.url)
    assert again.fingerprint == weights.fingerprint
    assert server.requests == 1
    assert pretrained_weights("mao2024-vqgan").fingerprint == weights.fingerprint
    assert capfd.readouterr().err == ""

    # Of a cache that several users share, all can read what one of them downloaded.
    modes = {path.stat().st_mode for path in cache.iterdir()}
    assert modes == {(cache / RECORD).stat().st_mode}

    # The conversion is the same each time.
    (cache / WEIGHTS).unlink()
    converted = published_weights(progress=False, url=server.url).tensors
    assert converted.keys() == weights.tensors.keys()
    assert all(torch.equal(value, weights.tensors[name]) for name, value in converted.items())
    assert server.requests == 1


def test_truncated_download_is_not_taken_for_whole(server: Server, cache: Path) -> None:
    server.missing = 1000
    with pytest.raises(CodecError, match=r"broke off at \d+ of \d+ bytes") as caught:
        published_weights(progress=False, url=server.url)
    assert f"compressai-vq import {CHECKPOINT_NAME} -o {cache / WEIGHTS}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert names(cache) == set()
    server.missing = 0
    assert published_weights(progress=False, url=server.url).qualities == [4]


def test_no_network(server: Server, cache: Path) -> None:
    server.close()
    with pytest.raises(CodecError, match=r"cannot download http.*compressai-vq import") as caught:
        published_weights(progress=False, url=server.url)
    assert "\n" not in str(caught.value)
    assert names(cache) == set()


def test_server_without_the_file(server: Server, cache: Path) -> None:
    server.status = 404
    with pytest.raises(CodecError, match=r"cannot download .*Not Found.*compressai-vq import"):
        published_weights(progress=False, url=server.url)
    server.status, server.data = 200, b"<html>moved</html>"
    with pytest.raises(CodecError, match="does not give the checkpoint"):
        published_weights(progress=False, url=server.url)
    assert names(cache) == set()


def test_changed_files_are_refused(server: Server, cache: Path) -> None:
    published_weights(progress=False, url=server.url)
    (cache / WEIGHTS).unlink()
    path = cache / CHECKPOINT_NAME
    path.write_bytes(server.data[:-1] + b"?")
    with pytest.raises(CodecError, match="has SHA-256") as caught:
        published_weights(progress=False, url=server.url)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    (cache / RECORD).write_bytes(b"\xff\xfe")
    with pytest.raises(CodecError, match=f"delete .*{RECORD}"):
        published_weights(progress=False, url=server.url)

    path.unlink()
    state = Reference(64).state_dict()
    state["quant_conv.bias"] += 1
    torch.save(state, cache.parent / "other.ckpt")
    server.data = (cache.parent / "other.ckpt").read_bytes()
    with pytest.raises(CodecError, match="has SHA-256"):
        published_weights(progress=False, url=server.url)
    assert names(cache) == {RECORD}


def test_weights_of_another_architecture_in_the_cache(cache: Path) -> None:
    cache.mkdir()
    LadderWeights("mao2024-vqgan-lite", "uniform", {"a": torch.ones(1)}).save(cache / WEIGHTS)
    with pytest.raises(CodecError, match="weights of mao2024-vqgan-lite"):
        published_weights(progress=False)


def test_cache_that_cannot_be_written(server: Server, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(CodecError, match="compressai-vq import"):
        published_weights(progress=False, url=server.url)
