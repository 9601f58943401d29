"""Driving a model over a paged cache by hand: sequences fed in chunks of any length, mixed in one step, their blocks
scattered over the cache."""

from pathlib import Path

import torch

from quire.layers.attention import AttentionInput
from quire.models import CausalLM, ModelConfig, load
from quire.parallel.group import Group

BLOCK_SIZE = 4


class PagedRun:
    """Feeds tokens of several sequences to a model; `step` returns the log-probabilities after each token fed."""

    def __init__(self, model: CausalLM, config: ModelConfig, num_sequences: int, max_len: int, *, num_ranks: int = 1):
        blocks_each = -(-max_len // BLOCK_SIZE)
        num_blocks = num_sequences * blocks_each + 3
        shuffled = torch.randperm(num_blocks, generator=torch.Generator().manual_seed(7))
        self.tables = shuffled[: num_sequences * blocks_each].view(num_sequences, blocks_each).int()
        kv_heads = config.num_kv_heads // num_ranks
        shape = (num_blocks, config.num_layers, 2, kv_heads, BLOCK_SIZE, config.head_dim)
        # What was in a block before must never be seen.
        self.kv = torch.full(shape, float("nan"), dtype=config.dtype)
        self.model = model
        self.lens = [0] * num_sequences

    def step(self, chunks: dict[int, list[int]]) -> dict[int, torch.Tensor]:
        """`chunks`: the next tokens of some sequences, in any order of sequences."""
        positions, slots, starts = [], [], [0]
        for sequence, tokens in chunks.items():
            at = torch.arange(self.lens[sequence], self.lens[sequence] + len(tokens))
            positions.append(at)
            slots.append(self.tables[sequence].long()[at // BLOCK_SIZE] * BLOCK_SIZE + at % BLOCK_SIZE)
            starts.append(starts[-1] + len(tokens))
            self.lens[sequence] += len(tokens)
        attention = AttentionInput(
            slots=torch.cat(slots),
            block_tables=self.tables[list(chunks)],
            context_lens=torch.tensor([self.lens[s] for s in chunks], dtype=torch.int32),
            query_starts=torch.tensor(starts, dtype=torch.int32),
        )
        ids = torch.tensor([token for tokens in chunks.values() for token in tokens])
        hidden = self.model(ids, torch.cat(positions), self.kv, attention)
        logprobs = self.model.compute_logits(hidden).log_softmax(-1)
        return {s: logprobs[starts[i] : starts[i + 1]] for i, s in enumerate(chunks)}


def chunked_logprobs(
    model: CausalLM, config: ModelConfig, prompts: list[list[int]], *, num_ranks: int = 1
) -> list[torch.Tensor]:
    """The log-probabilities after every token of every prompt, computed in steps that mix whole prompts, chunks of
    several lengths and single tokens."""
    run = PagedRun(model, config, len(prompts), max(map(len, prompts)), num_ranks=num_ranks)
    parts: list[list[torch.Tensor]] = [[] for _ in prompts]
    chunk_lens = [[len(prompts[0])], [5, 1, 7, 1, 1], [1, 3, 2], [2, 9, 1]]
    for turn in range(max(map(len, prompts))):
        chunks = {}
        for s in reversed(range(len(prompts))):
            lens = chunk_lens[s % len(chunk_lens)]
            begin = run.lens[s]
            if begin < len(prompts[s]):
                chunks[s] = prompts[s][begin : begin + lens[turn % len(lens)]]
        if not chunks:
            break
        for s, logprobs in run.step(chunks).items():
            parts[s].append(logprobs)
    return [torch.cat(p) for p in parts]


def logprobs_of_models(group: Group, paths: list[Path], prompts: list[list[int]]) -> list[list[torch.Tensor]]:
    """`chunked_logprobs` of each model, as one rank of `group` computes them from unpacked weights."""
    models = [load(path, dtype="float32", group=group, quantization="none") for path in paths]
    return [chunked_logprobs(m.model, m.config, prompts, num_ranks=group.size) for m in models]


def random_prompts(vocab_size: int, lens: list[int], seed: int = 1) -> list[list[int]]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randint(0, vocab_size, (n,), generator=random).tolist() for n in lens]
