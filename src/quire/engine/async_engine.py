"""The engine in a thread of its own, with an async stream for each request, or for several that are read together.

The loop's thread is the only one that touches the engine; callers post commands to it and get outputs posted back to
their own event loop. Knows nothing of HTTP.
"""

import asyncio
import itertools
import logging
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from functools import partial
from typing import cast

from quire.cache.block_map import BlockMap, map_blocks
from quire.cache.heat import BlockHeat
from quire.cache.token_budget import TokenBudget
from quire.engine.engine import LLMEngine
from quire.engine.outputs import EmbeddingOutput, EngineStats, Output, OutputKind, RequestOutput
from quire.engine.prompts import PreparedRequest, Prompt
from quire.errors import CapacityError, EngineClosedError, InvalidRequestError
from quire.models.tokenizer import Tokenizer
from quire.sampling_params import SamplingParams

log = logging.getLogger(__name__)


class _Stream:
    """Where the outputs of requests wait for the one who reads them."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._outputs: list[Output] = []
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, output: Output) -> None:
        """Only in the reader's event loop."""
        self._outputs.append(output)
        self._wake()

    def post(self, error: Exception) -> None:
        """From any thread."""
        with suppress(RuntimeError):  # the reader's loop has ended, and nobody is there to be told
            self.loop.call_soon_threadsafe(self._fail, error)

    async def take(self) -> list[Output]:
        """All there is, at least one. Raises the error that was posted, after what came before it."""
        while not self._outputs:
            if self._error is not None:
                raise self._error
            self._waiter = self.loop.create_future()
            await self._waiter
        outputs, self._outputs = self._outputs, []
        return outputs

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class AsyncEngine:
    """Thread safety: its methods may be called from any event loop of any thread."""

    def __init__(self, engine: LLMEngine, heat: BlockHeat | None = None) -> None:
        """`heat` is what observes the engine's blocks, where something does."""
        self._engine = engine
        self._heat = heat
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._streams: dict[str, _Stream] = {}
        self._request_ids = itertools.count()
        self._error: Exception | None = None
        self._is_closing = False
        self._is_over = False
        """Nothing that is posted from now on will be done."""
        self._thread = threading.Thread(target=self._run, name="quire-engine", daemon=True)
        self._thread.start()

    async def prepare(self, prompt: Prompt, params: SamplingParams | None = None) -> PreparedRequest:
        """Tokenizes and checks a request; raises InvalidRequestError. Nothing runs yet."""
        return await asyncio.to_thread(self._engine.prepare, prompt, params)

    async def prepare_embedding(self, prompt: Prompt) -> PreparedRequest:
        """The same for a text to be embedded."""
        return await asyncio.to_thread(self._engine.prepare_embedding, prompt)

    @property
    def tokenizer(self) -> Tokenizer | None:
        return self._engine.tokenizer

    @property
    def max_model_len(self) -> int:
        """Tokens of prompt and output together."""
        return self._engine.max_model_len

    @property
    def budget(self) -> TokenBudget:
        """The account of tokens that admission may reserve in, under request ids."""
        return self._engine.budget

    @property
    def is_alive(self) -> bool:
        """Whether requests are still served."""
        return not self._is_over

    def stats(self) -> EngineStats:
        """A glance from outside: its numbers may be a step apart."""
        return self._engine.stats()

    def block_map(self, max_cells: int) -> BlockMap:
        """What its blocks are doing; a glance too."""
        ref_counts, digests = self._engine.scheduler.blocks.glance()
        return map_blocks(ref_counts, digests, self._heat.hot() if self._heat else (), max_cells=max_cells)

    async def generate(
        self,
        prompt: Prompt | PreparedRequest,
        params: SamplingParams | None = None,
        *,
        request_id: str | None = None,
        output_kind: OutputKind = OutputKind.DELTA,
    ) -> AsyncGenerator[RequestOutput, None]:
        """The request's outputs as they come. Leaving the iterator early aborts the request."""
        prepared = prompt if isinstance(prompt, PreparedRequest) else await self.prepare(prompt, params)
        request_id = request_id or f"async-{next(self._request_ids)}"
        async with aclosing(self.generate_all({request_id: prepared}, output_kind=output_kind)) as batches:
            async for outputs in batches:
                for output in outputs:
                    yield output

    async def generate_all(
        self,
        prepared: Mapping[str, PreparedRequest],
        *,
        output_kind: OutputKind = OutputKind.DELTA,
        on_start: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[list[RequestOutput], None]:
        """The outputs of several requests, by their ids, as they come: all that are there at once. Leaving the iterator
        early aborts those that still run, and so does an error of one of them. `on_start` is called, in the engine's
        thread, for each of them when its first token is there."""

        def add(request_id: str, request: PreparedRequest) -> None:
            self._engine.add_request(request_id, request, output_kind=output_kind, on_start=on_start)

        adds = {request_id: partial(add, request_id, request) for request_id, request in prepared.items()}
        async with aclosing(self._follow(adds)) as batches:
            async for outputs in batches:
                yield cast(list[RequestOutput], outputs)

    async def embed(self, prompt: Prompt | PreparedRequest, *, request_id: str | None = None) -> EmbeddingOutput:
        request_id = request_id or f"async-{next(self._request_ids)}"

        def add() -> None:
            self._engine.add_embedding(request_id, prompt)

        async with aclosing(self._follow({request_id: add})) as batches:
            (output,) = await anext(batches)
        assert isinstance(output, EmbeddingOutput)
        return output

    def abort(self, request_id: str) -> None:
        """Ends a request; its stream, if anyone still reads it, raises EngineClosedError. Unknown ids are ignored."""

        def stop() -> None:
            stream = self._streams.pop(request_id, None)
            if stream is not None:
                self._engine.abort(request_id)
                stream.post(EngineClosedError(f"Request {request_id!r} was aborted."))

        self._inbox.put(stop)

    def close(self) -> None:
        """Ends everything in flight and the thread; waits for it."""
        self._inbox.put(self._begin_closing)
        self._thread.join()

    async def _follow(self, adds: Mapping[str, Callable[[], None]]) -> AsyncGenerator[list[Output], None]:
        self._refuse_if_over()
        stream, unfinished = _Stream(), set(adds)
        for request_id, add in adds.items():
            self._inbox.put(partial(self._open, request_id, stream, add))
        self._refuse_if_over()  # if it is not by now, the thread still reads what was posted, if only to refuse it
        try:
            while unfinished:
                outputs = await stream.take()
                unfinished.difference_update([output.request_id for output in outputs if output.is_finished])
                yield outputs
        finally:
            for request_id in unfinished:
                self._inbox.put(partial(self._forget, request_id, stream))

    def _refuse_if_over(self) -> None:
        if self._is_over:
            raise self._closed("The engine is closed; nothing more can be asked of it.")

    # ── in the engine's thread ─────────────────────────────────────────────────────────────────────────────────────

    def _open(self, request_id: str, stream: _Stream, add: Callable[[], None]) -> None:
        try:
            self._refuse_if_over()
            add()
        except (InvalidRequestError, CapacityError, EngineClosedError) as error:
            stream.post(error)
        except Exception as error:
            log.exception("request %r could not be queued", request_id)
            stream.post(error)
        else:
            self._streams[request_id] = stream

    def _forget(self, request_id: str, stream: _Stream) -> None:
        if self._streams.get(request_id) is stream:
            del self._streams[request_id]
            self._engine.abort(request_id)

    def _begin_closing(self) -> None:
        self._is_closing = True

    def _run(self) -> None:
        try:
            while not self._is_closing:
                self._obey()
                if self._engine.has_unfinished and not self._is_closing:
                    self._deliver(self._engine.step())
        except Exception as error:
            log.exception("the engine stopped")
            self._error = error
        finally:
            self._is_over = True
            self._close_streams()
            self._obey_all()
            self._engine.close()

    def _obey(self) -> None:
        """Runs the commands that wait; sleeps while there is nothing else to do."""
        if not self._engine.has_unfinished:
            self._inbox.get()()
        else:
            held_until_s = self._engine.hold_until_s()
            if held_until_s is not None:
                try:
                    self._inbox.get(timeout=max(0.0, held_until_s - time.monotonic()))()
                except queue.Empty:
                    return
        self._obey_all()

    def _obey_all(self) -> None:
        while not self._inbox.empty():
            self._inbox.get()()

    def _deliver(self, outputs: list[Output]) -> None:
        """One wake-up per event loop and step, however many streams it serves."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Stream, Output]]] = {}
        for output in outputs:
            stream = self._streams.get(output.request_id)
            if stream is not None:
                by_loop.setdefault(stream.loop, []).append((stream, output))
            if output.is_finished:
                self._streams.pop(output.request_id, None)
        for loop, items in by_loop.items():
            try:
                loop.call_soon_threadsafe(_put_all, items)
            except RuntimeError:  # the reader's loop has ended without closing its streams
                for _, output in items:
                    self._streams.pop(output.request_id, None)
                    self._engine.abort(output.request_id)

    def _close_streams(self) -> None:
        for stream in self._streams.values():
            stream.post(self._closed("The engine was closed while the request ran."))
        self._streams.clear()

    def _closed(self, message: str) -> EngineClosedError:
        closed = EngineClosedError(message)
        closed.__cause__ = self._error
        return closed


def _put_all(items: list[tuple[_Stream, Output]]) -> None:
    for stream, output in items:
        stream.put(output)
