"""How do I use a model in my own process?

By `LLM`, shaped as vLLM's users know it.

    llm = LLM("path/or/hub-id")
    for output in llm.generate(["Once upon a time"], SamplingParams(max_tokens=32)):
        print(output.outputs[0].text)

Thread safety: any thread may call; calls that overlap run in one batch.
"""

import itertools
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as SequenceOf
from functools import partial
from pathlib import Path
from typing import Any, cast

from quire.config import EngineConfig
from quire.engine.assembly import assemble
from quire.engine.engine import LLMEngine
from quire.engine.outputs import EmbeddingOutput, EngineStats, Output, OutputKind, RequestOutput
from quire.engine.prompts import PreparedRequest, Prompt
from quire.errors import EngineClosedError, InvalidRequestError, ModelLoadError, QuireError, shown
from quire.models.embedded import EMBEDDED_MODEL, EMBEDDED_NOTE
from quire.models.tokenizer import Tokenizer
from quire.observability.progress import GenerationProgress
from quire.rag.answerer import Answer, AnswerStream, answer_stream, as_messages, prompt_room
from quire.rag.prompt import GroundedPrompt
from quire.retrieval.collection import Collection
from quire.sampling_params import SamplingParams

Message = Mapping[str, Any]

ANSWER_PARAMS = SamplingParams(temperature=0, max_tokens=256)
"""What answers from a collection are sampled with, unless told otherwise: they quote, so the likeliest word is best."""


class LLM:
    """Loads a model when made; give everything back with `close()`, or use it as a context manager.

    `model` is a Hugging Face directory, a GGUF file or a hub id; by default the tiny model that Quire carries. The
    other keyword arguments are the fields of `EngineConfig`.
    """

    def __init__(self, model: str | Path | None = None, *, show_progress: bool = True, **knobs: Any) -> None:
        self.config = EngineConfig.from_kwargs(knobs)
        if model is None:
            print(EMBEDDED_NOTE, file=sys.stderr)
        self._engine: LLMEngine | None = assemble(model or EMBEDDED_MODEL, self.config, show_progress=show_progress)
        self._lock = threading.RLock()
        self._arrived = threading.Condition(self._lock)
        self._mail: dict[str, deque[Output]] = {}
        self._request_ids = itertools.count()
        self._collections: dict[str, Collection] = {}
        """Those that were asked by name."""

    # ── asking ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def generate(
        self,
        prompts: Prompt | SequenceOf[Prompt],
        sampling_params: SamplingParams | SequenceOf[SamplingParams] | None = None,
        use_tqdm: bool = True,
    ) -> list[RequestOutput]:
        """One output per prompt, in order; an empty list for no prompts. Each prompt is text, a list of token ids, or
        a dict with `prompt` or `prompt_token_ids`. Raises InvalidRequestError before anything runs when one of them
        cannot be served."""
        many = _as_list(prompts)
        return self._generate(many, _one_each(sampling_params, len(many)), use_tqdm)

    def chat(
        self,
        messages: str | SequenceOf[Message] | SequenceOf[SequenceOf[Message]],
        sampling_params: SamplingParams | SequenceOf[SamplingParams] | None = None,
        use_tqdm: bool = True,
        *,
        tools: list[dict[str, Any]] | None = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = True,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> list[RequestOutput]:
        """Answers a conversation (a list of messages, or a text that a user says) or several (a list of such lists)."""
        conversations = _as_conversations(messages)
        prompts = [
            self.tokenizer.apply_chat_template(
                conversation,
                add_generation_prompt=add_generation_prompt,
                tools=tools,
                template=chat_template,
                **(chat_template_kwargs or {}),
            )
            for conversation in conversations
        ]
        return self._generate(prompts, _one_each(sampling_params, len(prompts)), use_tqdm)

    def stream(self, prompt: Prompt, sampling_params: SamplingParams | None = None) -> Iterator[RequestOutput]:
        """What is new, as it comes. Leaving the iterator early aborts the request."""
        prepared = self._live.prepare(prompt, sampling_params)
        request_id = self._open(prepared, OutputKind.DELTA)
        try:
            is_finished = False
            while not is_finished:
                output = self._next(request_id)
                assert isinstance(output, RequestOutput)
                _raise_if_failed(output)
                is_finished = output.is_finished
                yield output
        finally:
            self._forget([request_id])

    def embed(self, texts: Prompt | SequenceOf[Prompt]) -> list[EmbeddingOutput]:
        """The last hidden state of each text at unit length, in order."""
        many = _as_list(texts)
        prepared = [self._live.prepare_embedding(text) for text in many]
        request_ids: list[str] = []
        try:
            request_ids += (self._open(text, None) for text in prepared)
            outputs = [self._next(request_id) for request_id in request_ids]
        finally:
            self._forget(request_ids)
        for output in outputs:
            _raise_if_failed(output)
        return [output for output in outputs if isinstance(output, EmbeddingOutput)]

    # ── asking a collection ───────────────────────────────────────────────────────────────────────────────────────────

    def answer(self, question: str | SequenceOf[Message], *, collection: Collection | str, **how: Any) -> Answer:
        """Answers from the passages of `collection` that a question, or the last one of a conversation, is about; the
        marks in the text lead to them. `how` is as in `stream_answer`."""
        stream = self.stream_answer(question, collection=collection, **how)
        deque(stream, maxlen=0)
        return stream.answer

    def stream_answer(
        self,
        question: str | SequenceOf[Message],
        *,
        collection: Collection | str,
        k: int = 4,
        sampling_params: SamplingParams = ANSWER_PARAMS,
        max_prompt_tokens: int | None = None,
        chat_template: str | None = None,
        **search: Any,
    ) -> AnswerStream:
        """Iterate for the text as it comes; `.answer` is what `answer` gives. Leaving early aborts the request.

        collection          one that is open, or the name or path of one, which is then open until `close`
        k                   passages are shown to the model, as many of them as fit
        max_prompt_tokens   with passages, instructions and the conversation; None: what the context has room for
        search              further arguments of `Collection.search`: mode, filter, rerank …

        Raises InvalidRequestError where the last message is no question, or `n` is not 1."""
        if sampling_params.n != 1:
            raise InvalidRequestError(f"n is {sampling_params.n}; an answer from a collection is one.", param="n")
        room = prompt_room(self._live.max_model_len, sampling_params.max_tokens)
        return answer_stream(
            as_messages(question),
            partial(self._named(collection).search, k=k, **search),
            partial(self._say, sampling_params),
            self.tokenizer,
            max_prompt_tokens=room if max_prompt_tokens is None else min(max_prompt_tokens, room),
            template=chat_template,
        )

    # ── the rest ───────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def tokenizer(self) -> Tokenizer:
        tokenizer = self._live.tokenizer
        if tokenizer is None:
            raise ModelLoadError("This model came without a tokenizer; put its tokenizer.json beside the weights.")
        return tokenizer

    def get_tokenizer(self) -> Tokenizer:
        return self.tokenizer

    def stats(self) -> EngineStats:
        return self._live.stats()

    def close(self) -> None:
        """Aborts what runs and gives the memory back. Closing twice is harmless."""
        with self._lock:
            if self._engine is not None:
                self._engine.close()
                self._engine = None
            while self._collections:
                self._collections.popitem()[1].close()

    def __enter__(self) -> "LLM":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ── how it is done ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _live(self) -> LLMEngine:
        if self._engine is None:
            raise EngineClosedError("This LLM was closed; make a new one.")
        return self._engine

    def _named(self, collection: Collection | str) -> Collection:
        if isinstance(collection, Collection):
            return collection
        with self._lock:
            if collection not in self._collections:
                self._collections[collection] = Collection.open(collection, read_only=True, create=False)
            return self._collections[collection]

    def _say(self, params: SamplingParams, prompt: GroundedPrompt) -> Iterator[str]:
        for output in self.stream(prompt.token_ids, params):
            yield from (completion.text for completion in output.outputs)

    def _generate(
        self, prompts: SequenceOf[Prompt], params: list[SamplingParams], use_tqdm: bool
    ) -> list[RequestOutput]:
        prepared = [self._live.prepare(prompt, p) for prompt, p in zip(prompts, params, strict=True)]
        request_ids: list[str] = []
        outputs: list[RequestOutput] = []
        try:
            request_ids += (self._open(request, OutputKind.FINAL) for request in prepared)
            with GenerationProgress(
                len(prepared), lambda: self._num_done(request_ids), self._num_tokens, enabled=use_tqdm
            ) as progress:
                for request_id in request_ids:
                    output = self._next(request_id, progress)
                    assert isinstance(output, RequestOutput)
                    _raise_if_failed(output)
                    outputs.append(output)
                    del self._mail[request_id]
        finally:
            self._forget(request_ids)
        return outputs

    def _open(self, prepared: PreparedRequest, kind: OutputKind | None) -> str:
        request_id = f"llm-{next(self._request_ids)}"
        with self._lock:
            if kind is None:
                self._live.add_embedding(request_id, prepared)
            else:
                self._live.add_request(request_id, prepared, output_kind=kind)
            self._mail[request_id] = deque()
            self._arrived.notify_all()
        return request_id

    def _next(self, request_id: str, progress: GenerationProgress | None = None) -> Output:
        """The request's next output; runs steps until there is one, filing what belongs to others."""
        mail = self._mail[request_id]
        while True:
            with self._lock:
                if mail:
                    return mail.popleft()
                for output in self._step():
                    box = self._mail.get(output.request_id)
                    if box is not None:
                        box.append(output)
            if progress is not None:
                progress.update()

    def _step(self) -> list[Output]:
        """One step; while prompts are held back for company, others may come instead."""
        held_until_s = self._live.hold_until_s()
        if held_until_s is not None and self._arrived.wait(held_until_s - time.monotonic()):
            return []
        return self._live.step()

    def _forget(self, request_ids: Iterable[str]) -> None:
        with self._lock:
            for request_id in request_ids:
                self._mail.pop(request_id, None)
                if self._engine is not None:
                    self._engine.abort(request_id)

    def _num_done(self, request_ids: list[str]) -> int:
        return sum(1 for request_id in request_ids if request_id not in self._mail or self._mail[request_id])

    def _num_tokens(self) -> tuple[int, int]:
        stats = self._live.stats()
        return stats.num_prefill_tokens, stats.num_decode_tokens


def _as_list(prompts: Prompt | SequenceOf[Prompt]) -> list[Prompt]:
    """A single prompt (text, a mapping, or a list of token ids) becomes a list of one."""
    if isinstance(prompts, (str, Mapping)):
        return [prompts]
    if not isinstance(prompts, Iterable):
        raise InvalidRequestError(f"prompts is {shown(prompts)}; allowed: text, token ids, or a list.", param="prompts")
    many = list(prompts)
    is_one = bool(many) and all(isinstance(token_id, int) for token_id in many)
    return [cast(Prompt, many)] if is_one else cast(list[Prompt], many)


def _as_conversations(
    messages: str | SequenceOf[Message] | SequenceOf[SequenceOf[Message]],
) -> list[SequenceOf[Message]]:
    if isinstance(messages, str):
        return [as_messages(messages)]
    if isinstance(messages, Mapping):
        raise InvalidRequestError(f"messages is {shown(messages)}; give a list of messages.", param="messages")
    if messages and isinstance(messages[0], Mapping):
        return [cast(SequenceOf[Message], messages)]
    return list(cast(SequenceOf[SequenceOf[Message]], messages))


def _one_each(params: SamplingParams | SequenceOf[SamplingParams] | None, count: int) -> list[SamplingParams]:
    if params is None or isinstance(params, SamplingParams):
        return [params or SamplingParams()] * count
    if len(params) != count:
        raise InvalidRequestError(
            f"{len(params)} sampling_params for {count} prompts; give one for all, or one for each.",
            param="sampling_params",
        )
    for each in params:
        if not isinstance(each, SamplingParams):
            raise InvalidRequestError(
                f"sampling_params has {shown(each)}; allowed: SamplingParams.", param="sampling_params"
            )
    return list(params)


def _raise_if_failed(output: Output) -> None:
    if output.error is not None:
        raise QuireError(f"The engine could not finish request {output.request_id!r}: {output.error}")
