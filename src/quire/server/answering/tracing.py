"""What the trace of a question tells, under the names of OpenTelemetry's GenAI conventions; nothing of what was said.

    chat NAME ├── retrieval COLLECTION   the search for passages
              ├── queue                  from the engine's door to the first step
              ├── prefill                to the first token
              └── decode                 to the last

The last three are there for each prompt. A question that ends early, or that nobody traces, tells none of them.
"""

from dataclasses import dataclass, field

from quire.engine.outputs import RequestMetrics, RequestOutput
from quire.engine.prompts import PreparedRequest
from quire.observability.trace import Fact, Trace
from quire.sampling_params import SamplingParams

PROVIDER = "quire"


@dataclass(slots=True)
class QuestionTrace:
    trace: Trace
    num_cached_tokens: int = 0
    num_output_tokens: int = 0
    finish_reasons: list[str] = field(default_factory=list)

    def ask(
        self,
        operation: str,
        model: str,
        num_prompt_tokens: int,
        answer_id: str | None = None,
        params: SamplingParams | None = None,
    ) -> None:
        """Names the request by what it asks: `chat`, `text_completion` or `embeddings`."""
        if not self.trace.is_followed:
            return
        self.trace.rename(f"{operation} {model}")
        names: dict[str, Fact] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": model,
            "gen_ai.response.model": model,
            "gen_ai.response.id": answer_id,
        }
        self.trace.add(names | {"gen_ai.usage.input_tokens": num_prompt_tokens})
        if params is not None:
            self.trace.add(_sampling(params))

    def finish(self, prepared: PreparedRequest, output: RequestOutput, num_output_tokens: int) -> None:
        """One of the prompts is answered."""
        times = output.metrics
        if not self.trace.is_followed or times is None:
            return
        self.num_cached_tokens += times.num_cached_tokens
        self.num_output_tokens += num_output_tokens
        self.finish_reasons += [str(one.finish_reason) for one in output.outputs if one.finish_reason is not None]
        self._tell_phases(times, len(prepared.token_ids), num_output_tokens)
        self.trace.add(
            {
                "gen_ai.usage.output_tokens": self.num_output_tokens,
                "gen_ai.usage.cache_read.input_tokens": self.num_cached_tokens,
                "gen_ai.response.finish_reasons": self.finish_reasons,
            }
        )

    def _tell_phases(self, times: RequestMetrics, num_prompt_tokens: int, num_output_tokens: int) -> None:
        scheduled_s, first_s, finished_s = times.first_scheduled_s, times.first_token_s, times.finished_s
        if scheduled_s is None or first_s is None or finished_s is None:
            return
        of_prompt: dict[str, Fact] = {
            "gen_ai.usage.input_tokens": num_prompt_tokens,
            "gen_ai.usage.cache_read.input_tokens": times.num_cached_tokens,
        }
        self.trace.phase("queue", times.arrival_s, scheduled_s)
        self.trace.phase("prefill", scheduled_s, first_s, of_prompt)
        self.trace.phase("decode", first_s, finished_s, {"gen_ai.usage.output_tokens": num_output_tokens})


def _sampling(params: SamplingParams) -> dict[str, Fact]:
    return {
        "gen_ai.request.temperature": params.temperature,
        "gen_ai.request.top_p": params.top_p,
        "gen_ai.request.top_k": params.top_k if params.top_k > 0 else None,
        "gen_ai.request.presence_penalty": params.presence_penalty or None,
        "gen_ai.request.frequency_penalty": params.frequency_penalty or None,
        "gen_ai.request.max_tokens": params.max_tokens,
        "gen_ai.request.seed": params.seed if params.seed is not None and params.seed < 1 << 63 else None,
        "gen_ai.request.choice.count": params.n if params.n > 1 else None,
    }
