"""What is counted is what the server did, and what goes wrong is said."""

from typing import Any

import pytest

from quire.bench.serving.serve import Answer, Load, _Offline, _summary, cases, measure, prompts_of
from quire.errors import ConfigError
from tests.fakes import fake_engine
from tests.server.serving import running

LOAD = Load("", 6, 3, 0.0, input_len=20, output_len=8, ttft_slo_ms=1e9, tpot_slo_ms=1e9)


@pytest.mark.parametrize("rate", [0.0, 200.0])
def test_every_request_and_token_is_counted(rate: float) -> None:
    engine, _ = fake_engine(num_blocks=256)
    load = Load("tiny", 6, 3, rate, input_len=20, output_len=8, ttft_slo_ms=1e9, tpot_slo_ms=1e9)
    with running(engine) as server:
        found = measure(server.url, load)
        text = server.ask("/metrics").body.decode()
    assert 'quire:generation_tokens_total{model_name="tiny"} 48.0' in text
    assert 'quire:prompt_tokens_total{model_name="tiny"} 120.0' in text
    assert len(found.samples["ttft_ms"]) == len(found.samples["e2e_ms"]) == 6
    assert found.values["goodput_per_s"] == found.values["requests_per_s"]
    assert found.values["tokens_per_s"] == pytest.approx(8 * found.values["requests_per_s"])


def test_the_numbers_of_two_answers_by_hand() -> None:
    quick = Answer(10.0, [10.1, 10.15, 10.2], 3)
    slow = Answer(10.0, [10.5, 10.6], 2)
    load = Load("", 2, 2, 0.0, 1, 3, ttft_slo_ms=200, tpot_slo_ms=60)
    found = _summary([quick, slow], load, 2.0)
    assert found.values == {"tokens_per_s": 2.5, "requests_per_s": 1.0, "goodput_per_s": 0.5}
    assert found.samples["ttft_ms"] == pytest.approx([100, 500])
    assert found.samples["tpot_ms"] == pytest.approx([50, 100])
    assert found.samples["itl_ms"] == pytest.approx([50, 50, 100])
    assert found.samples["e2e_ms"] == pytest.approx([200, 600])


def test_a_server_that_refuses_or_is_not_there_ends_the_benchmark_with_its_words() -> None:
    engine, _ = fake_engine()
    with running(engine) as server:
        (case,) = cases(base_url=f"{server.url}/v1", model="other", quick=True)
        with pytest.raises(ConfigError, match=r"answered 404: .*There is no model 'other' here"):
            case.run()
    with pytest.raises(ConfigError, match="cannot be asked"):
        measure(server.url, LOAD)


def test_the_same_requests_without_a_server() -> None:
    load = Load("", 3, 2, 0.0, input_len=5, output_len=4, ttft_slo_ms=1e9, tpot_slo_ms=1e9)
    alone = _Offline(load, {"max_num_seqs": 2, "num_threads": 1, "kv_cache_memory": 8 << 20})
    asked: list[list[list[int]]] = []
    try:
        assert alone.run().values["tokens_per_s"] > 0
        assert alone._llm is not None
        generate = alone._llm.generate

        def remembering(prompts: list[list[int]], *how: Any, **more: Any) -> Any:
            asked.append(prompts)
            outputs = generate(prompts, *how, **more)
            assert [len(output.outputs[0].token_ids) for output in outputs] == [4, 4, 4]
            return outputs

        alone._llm.generate = remembering  # type: ignore[method-assign]
        alone.run()
    finally:
        alone.close()
    assert asked == [prompts_of(load, 1)]  # of the second turn, as the server is sent them then


@pytest.mark.parametrize("asked", [{"base_url": "http://x", "offline": True}, {"rate": 1.0, "offline": True}])
def test_only_a_server_of_our_own_is_held_against_the_library(asked: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="for a server of our own"):
        cases(**asked)
