"""A real server in a thread on a free port, and a client that asks it."""

import json
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from holdfast.serve.follow import Follower
from holdfast.serve.limits import Limits
from holdfast.store.model import ModelFolder


class Client:
    """Asks a server; ``ask`` gives status, JSON data and headers."""

    def __init__(self, address, service):
        self.address, self.service = address, service

    def ask(self, path, body=None, kind=None):
        headers = {"Content-Type": kind} if kind else {}
        request = urllib.request.Request(self.address + path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, self._read(answer), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, self._read(error), error.headers

    @staticmethod
    def _read(answer):
        text = answer.read()
        plain = answer.headers.get_content_type() == "application/json"
        return json.loads(text) if plain else text.decode()

    def image(self, body, query=""):
        return self.ask(f"predict{query}", body, "image/png")

    def json(self, data):
        return self.ask("predict", json.dumps(data).encode(), "application/json")


@contextmanager
def serving(path, limits=Limits(), every=0.05):
    """A client of a server for a model folder."""
    pytest.importorskip("fastapi")
    from holdfast.serve.server import address, listening, make_server
    from holdfast.serve.service import Service

    bound = listening("127.0.0.1", 0)
    follower = Follower(ModelFolder(path), "cpu", every=every).start()
    service = Service(follower, limits)
    server = make_server(service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield Client(address(bound), service)
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        service.stop()
        bound.close()
        assert not thread.is_alive()


def until(condition, seconds=20.0):
    """Wait for something that is to come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
