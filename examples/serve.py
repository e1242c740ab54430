"""Serve a stored model: a batch predictor behind HTTP, with the standard library alone.

    holdfast learn zoo --data photos/
    python examples/serve.py zoo --port 8000
    curl --data-binary @cat.jpg http://127.0.0.1:8000/

A request carries one image and is answered with JSON: class, probability, unknown, version. Requests
that wait at the same time are answered by one forward pass. When another version is put in use, by
``holdfast learn`` or ``holdfast rollback``, the next batch is answered by that one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import queue
import tempfile
import threading
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch

from holdfast.errors import DataError, HoldfastError, StoreError
from holdfast.store.model import ModelFolder
from holdfast.store.predictor import Predictor

LARGEST = 20 * 2**20  # bytes of a request


class Batches(threading.Thread):
    """Answers single images in batches, always with the version in use."""

    def __init__(self, folder: ModelFolder, batch: int = 64):
        super().__init__(daemon=True)
        self.folder, self.batch = folder, batch
        self.waiting: queue.Queue[tuple[bytes, Future]] = queue.Queue()
        core, manifest = folder.load()
        self.predictor, self.version = Predictor(core), manifest.version
        self.start()

    def answer(self, image: bytes) -> dict[str, object]:
        """What the model says of an image file."""
        told: Future = Future()
        self.waiting.put((image, told))
        return told.result(timeout=60)

    def run(self) -> None:
        """Answer what waits, for as long as the server lives."""
        while True:
            wanted = [self.waiting.get()]
            while len(wanted) < self.batch and not self.waiting.empty():
                wanted.append(self.waiting.get())
            try:
                self.renew()
                self.tell(wanted)
            except Exception as error:  # the server outlives whatever one batch brings
                for _, told in wanted:
                    if not told.done():
                        told.set_exception(error)

    def renew(self) -> None:
        """Load the version in use, if it is another one; a damaged one leaves the present one."""
        with contextlib.suppress(StoreError):
            if self.folder.index().current != self.version:
                core, manifest = self.folder.load()
                self.predictor, self.version = Predictor(core), manifest.version

    def tell(self, wanted: list[tuple[bytes, Future]]) -> None:
        """Answer a batch; an image that cannot be read spoils its own answer only."""
        with tempfile.TemporaryDirectory() as place:
            files = [Path(place, str(i)) for i in range(len(wanted))]
            for file, (image, _) in zip(files, wanted):
                file.write_bytes(image)
            x, good, bad = self.predictor.read(files)
        said = self.predictor(x)
        for row, i in enumerate(good):
            unknown = None if said.unknown is None else bool(said.unknown[row])
            wanted[i][1].set_result({
                "class": self.predictor.classes[int(said.label[row])],
                "probability": round(float(said.probability[row]), 6),
                "unknown": unknown,
                "version": self.version,
            })  # fmt: skip
        for name, why in bad:
            wanted[int(Path(name).name)][1].set_exception(DataError(why.replace(name, "it")))


def handler(batches: Batches) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            if not 0 < size <= LARGEST:
                return self.reply(413, {"error": f"send one image of at most {LARGEST} bytes"})
            try:
                return self.reply(200, batches.answer(self.rfile.read(size)))
            except HoldfastError as error:
                return self.reply(400, {"error": str(error)})

        def reply(self, code: int, content: dict[str, object]) -> None:
            text = json.dumps(content, ensure_ascii=False).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def server(model: str, port: int = 8000) -> ThreadingHTTPServer:
    """A server on this machine, ready for ``serve_forever``."""
    return ThreadingHTTPServer(("127.0.0.1", port), handler(Batches(ModelFolder(model))))


if __name__ == "__main__":
    reader = argparse.ArgumentParser()
    reader.add_argument("model")
    reader.add_argument("--port", type=int, default=8000)
    asked = reader.parse_args()
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))
    print(f"{asked.model} at http://127.0.0.1:{asked.port}/")
    server(asked.model, asked.port).serve_forever()
