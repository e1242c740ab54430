"""Service: one request from its bytes to its answer, within the limits, by one version of the model."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from torch import Tensor

from holdfast.core.errors import ConfigError, DataError
from holdfast.serve.asked import Asked, too_large
from holdfast.serve.batches import Batches, Job
from holdfast.serve.follow import Follower, Served
from holdfast.serve.limits import Limits, RequestError
from holdfast.serve.predictor import Predictions

SPILL = (
    64 * 2**20
)  # bytes beyond a limit that are read and dropped, so that the sender hears the answer
Row = dict[str, Any]


class Service:
    """Answers requests.

    Decoding has one thread and the network another, so that memory for pixels is taken for one
    request at a time. More requests than `Limits.waiting` are told to come again (503).

    Args:
        follower: of the model.
        limits: of requests.
        top: classes an answer lists, unless the request says otherwise.
        false_alarms: share of known inputs that may be called unknown.
    """

    def __init__(
        self, follower: Follower, limits: Limits, top: int = 5, false_alarms: float = 0.05
    ):
        self.follower, self.limits, self.top, self.false_alarms = (
            follower,
            limits,
            top,
            false_alarms,
        )
        self.waiting, self.answered, self.begun = 0, 0, time.time()
        self._batches = Batches(follower.batch)
        self._decoder = ThreadPoolExecutor(1, "holdfast-decoder")

    def stop(self) -> None:
        """Let go of the threads."""
        self.follower.stop()
        self._decoder.shutdown(wait=False, cancel_futures=True)
        self._batches.stop()

    async def predict(
        self,
        kind: str,
        chunks: AsyncIterator[bytes],
        top: int | None = None,
        false_alarms: float | None = None,
    ) -> Row:
        """The answer to a request, as JSON data.

        Args:
            kind: content type of the body.
            chunks: of the body.
            top: classes an answer lists; None takes the server's.
            false_alarms: None takes the server's.

        Raises:
            RequestError: for a request that breaks a limit, or cannot be understood.
        """
        if self.waiting >= self.limits.waiting:
            await _dropped(chunks)
            raise RequestError(503, "the server is busy: send the request again in a second.", 1)
        self.waiting += 1
        try:
            served, started = self.follower.served, time.monotonic()
            body = await self._body(chunks)
            left = self.limits.seconds - (time.monotonic() - started)
            rate = self.false_alarms if false_alarms is None else false_alarms
            async with _within(left, 503, "the request took too long: send fewer inputs.", 1):
                answer = await self._answer(served, kind, body, top or self.top, rate)
            self.answered += len(answer["predictions"])
            return answer
        finally:
            self.waiting -= 1

    async def _body(self, chunks: AsyncIterator[bytes]) -> bytes:
        """The whole body, if it is within the limit."""
        pieces, size, limit = [], 0, self.limits.body
        async with _within(self.limits.seconds, 408, "the body of the request came too slowly."):
            async for chunk in chunks:
                size += len(chunk)
                if size <= limit:
                    pieces.append(chunk)
                else:
                    pieces.clear()
                if size > limit + SPILL:
                    break
        if size > limit:
            raise RequestError(
                413, f"the request has more than {limit:,} bytes: send less at a time."
            )
        return b"".join(pieces)

    async def _answer(self, served: Served, kind: str, body: bytes, top: int, rate: float) -> Row:
        loop = asyncio.get_running_loop()
        asked, x, unread = await loop.run_in_executor(
            self._decoder, prepare, served, kind, body, self.limits
        )
        try:
            job = Job(served, x, rate)
            predictions = await asyncio.wrap_future(self._batches.submit(job))
        except (ConfigError, DataError) as error:
            raise RequestError(422, str(error)) from None
        answers = rows_of(served, predictions, top)
        for i, why in unread.items():
            answers.insert(i, {"error": f"the image {why}."})  # ascending: each finds its place
        for row, name in zip(answers, asked.names):
            if name is not None:
                row["image"] = name
        return {
            "version": served.version,
            "calibrated": served.predictor.calibrated,
            "predictions": answers,
        }


def prepare(
    served: Served, kind: str, body: bytes, limits: Limits
) -> tuple[Asked, Tensor, dict[int, str]]:
    """What is asked, the inputs that can be read, and why the others cannot, by their places.

    Raises:
        RequestError: for a body that is not understood, too large an image, or none that can be read.
    """
    asked = Asked.read(kind, body, limits)
    if asked.features is not None:
        return asked, asked.features, {}
    try:
        served.predictor.size  # noqa: B018 - refuses where the model takes no images
    except ConfigError:
        shape = tuple(served.predictor.core.learner.shape)
        raise RequestError(
            422, f'this model takes feature vectors of shape {shape}: send {{"features": [...]}}.'
        ) from None
    for image in asked.images:
        refusal = too_large(image, limits)
        if refusal is not None:
            raise refusal
    try:
        x, read, unread = served.predictor.decode(asked.images)
    except DataError as error:
        raise RequestError(422, str(error)) from None
    missing = [i for i in range(len(asked)) if i not in set(read)]
    reasons = dict(zip(missing, (why for _, why in unread)))
    if not read:
        raise RequestError(422, f"the image {reasons[0]}.")
    return asked, x, reasons


def rows_of(served: Served, predictions: Predictions, top: int) -> list[Row]:
    """An answer an input: class, probability, the ``top`` classes, unknown."""
    classes, rows = served.predictor.classes, []
    best = predictions.probabilities.topk(min(top, len(classes)), dim=1)
    for i, (values, places) in enumerate(zip(best.values.tolist(), best.indices.tolist())):
        unknown = None if predictions.unknown is None else bool(predictions.unknown[i])
        rows.append({
            "class": classes[int(predictions.label[i])],
            "probability": round(float(predictions.probability[i]), 6),
            "unknown": unknown,
            "top": [
                {"class": classes[k], "probability": round(p, 6)} for k, p in zip(places, values)
            ],
        })  # fmt: skip
    return rows


def state(service: Service) -> Row:
    """What /health says."""
    follower = service.follower
    return {
        "status": "ok" if follower.problem is None else "degraded",
        "version": follower.served.version,
        "problem": follower.problem,
        "waiting": service.waiting,
        "answered": service.answered,
        "seconds": round(time.time() - service.begun, 1),
    }


def described(service: Service) -> Row:
    """What /model says."""
    served, limits = service.follower.served, service.limits
    manifest, predictor = served.manifest, served.predictor
    return {
        "version": served.version,
        "created": manifest.created,
        "classes": predictor.classes,
        "recipe": manifest.blueprint.get("recipe"),
        "readout": predictor.readout.name,
        "calibrated": predictor.calibrated,
        "unknown": getattr(predictor.readout, "unknown", None) is not None,
        "input": {"shape": manifest.input["shape"], "images": len(manifest.input["shape"]) == 3},
        "stored": manifest.stored,
        "limits": {name: getattr(limits, name) for name in ("body", "images", "pixels", "seconds")},
    }


@contextlib.asynccontextmanager
async def _within(
    seconds: float, status: int, sentence: str, retry: int | None = None
) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            yield
    except TimeoutError:
        raise RequestError(status, sentence, retry) from None


async def _dropped(chunks: AsyncIterator[bytes]) -> None:
    """Read a body and drop it, for a while: a sender that is cut off would not hear why."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2.0):
            async for chunk in chunks:
                size += len(chunk)
                if size > SPILL:
                    return
