"""An engine that says what it is told to, piece by piece, behind a real tokenizer and real checks; and chat
templates of models that think and call tools."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from quire.cache.block_map import BlockMap, map_blocks
from quire.cache.token_budget import NO_LIMIT, TokenBudget, Tokens
from quire.engine.async_engine import AsyncEngine
from quire.engine.outputs import CompletionOutput, EngineStats, OutputKind, RequestOutput
from quire.engine.prompts import PreparedRequest, Prompt, RequestChecker
from quire.engine.structured import GrammarCompiler
from quire.models.tokenizer import Tokenizer
from quire.sampling_params import SamplingParams
from quire.sequence import FinishReason
from quire.server.state import ServedModel
from tests.models.tiny_tokenizers import write_tiny_tokenizer
from tests.patience import wait_until
from tests.server.serving import Running, running

VOCAB_SIZE = 320

HERMES_TEMPLATE = """\
{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool.function | tojson }}
{% endfor %}Answer with <tool_call>
{"name": NAME, "arguments": ARGUMENTS}
</tool_call> to call.<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{%- if message.reasoning_content %} <think>{{ message.reasoning_content }}</think>{% endif %}

{{ message.content }}
{%- for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% endif %}{% endif %}"""

LLAMA_TEMPLATE = """\
{%- for tool in tools or [] %}{{ tool.function | tojson }}
{% endfor %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}{"name": "{{ call.function.name }}", \
"parameters": {{ call.function.arguments | tojson }}}{% endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Oslo", "Rome"]}, "days": {"type": "integer"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CLOCK: dict[str, Any] = {"type": "function", "function": {"name": "clock"}}
OSLO = '{"city": "Oslo", "days": 2}'
CALL_OSLO = f'<tool_call>\n{{"name": "weather", "arguments": {OSLO}}}\n</tool_call>'
CALL_CLOCK = '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'


class ScriptedEngine:
    """`says` is told to every request, a completion each, in pieces of `num_chars`."""

    max_model_len = 4096
    is_alive = True

    def __init__(self, tokenizer: Tokenizer, says: list[str], num_chars: int = 3) -> None:
        self.tokenizer = tokenizer
        self.says = says
        self.num_chars = num_chars
        self.finish_reason = FinishReason.STOP
        self.stop_reason: str | None = None
        self.fails_after: int | None = None
        """So many pieces of a stream."""
        self.pause_s = 0.0
        """Between pieces."""
        self.asked: list[PreparedRequest] = []
        self.budget = TokenBudget(Tokens(NO_LIMIT, NO_LIMIT, NO_LIMIT))
        self._checker = RequestChecker(
            tokenizer,
            vocab_size=VOCAB_SIZE,
            max_model_len=self.max_model_len,
            max_num_seqs=8,
            grammars=GrammarCompiler(tokenizer, VOCAB_SIZE),
        )

    @property
    def last_prompt(self) -> str:
        return self.tokenizer.decode(self.asked[-1].token_ids, skip_special_tokens=False)

    async def prepare(self, prompt: Prompt, params: SamplingParams) -> PreparedRequest:
        return await asyncio.to_thread(self._checker.prepare, prompt, params)

    async def generate_all(
        self, prepared: Mapping[str, PreparedRequest], *, output_kind: OutputKind, on_start: Callable[[], None]
    ) -> AsyncGenerator[list[RequestOutput], None]:
        for request_id, prompt in prepared.items():
            on_start()
            async for output in self._generate(prompt, request_id, output_kind):
                yield [output]

    async def _generate(
        self, prompt: PreparedRequest, request_id: str, output_kind: OutputKind
    ) -> AsyncGenerator[RequestOutput, None]:
        self.asked.append(prompt)
        self.budget.release(request_id)
        texts = [text for text, _ in zip(itertools.cycle(self.says), range(prompt.params.n), strict=False)]
        if output_kind is OutputKind.FINAL:
            completions = [self._completion(index, text, is_last=True) for index, text in enumerate(texts)]
            yield RequestOutput(request_id, None, prompt.token_ids, completions, is_finished=True)
            return
        for number, start in enumerate(range(0, max(map(len, texts)) + 1, self.num_chars)):
            if number == self.fails_after:
                raise RuntimeError("scripted to fail")
            pieces = [text[start : start + self.num_chars] for text in texts]
            is_last = start + self.num_chars > max(map(len, texts))
            completions = [self._completion(i, piece, is_last=is_last) for i, piece in enumerate(pieces)]
            yield RequestOutput(request_id, None, prompt.token_ids, completions, is_finished=is_last)
            await asyncio.sleep(self.pause_s)

    def _completion(self, index: int, text: str, *, is_last: bool) -> CompletionOutput:
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        if not is_last:
            return CompletionOutput(index, text, ids)
        return CompletionOutput(index, text, ids, finish_reason=self.finish_reason, stop_reason=self.stop_reason)

    def stats(self) -> EngineStats:
        return EngineStats(0, 0, 1, 1, 0, 0, 0, 0, 0)

    def block_map(self, max_cells: int) -> BlockMap:
        return map_blocks([0], {}, (), max_cells=max_cells)

    def close(self) -> None: ...


@contextmanager
def scripted(
    path: Path, *says: str, template: str = HERMES_TEMPLATE, num_chars: int = 3, **settings: Any
) -> Iterator[tuple[Running, ScriptedEngine]]:
    """A server whose model says this; the tokenizer is written to `path`."""
    write_tiny_tokenizer(path, VOCAB_SIZE, chat_template=template)
    engine = ScriptedEngine(Tokenizer.from_directory(path), [*says], num_chars)
    with running(lambda: cast(AsyncEngine, engine), ServedModel(("tiny",)), **settings) as server:
        wait_until(lambda: server.state.error is not None or server.ask("/ready").status == 200)
        yield server, engine
