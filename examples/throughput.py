"""Throughput of many random requests at once: by default 256 with inputs and outputs of 100 to 1,024 tokens.

    python examples/throughput.py [MODEL] [--num-requests 256] [--input-len 100 1024] [--output-len 100 1024]

End-of-sequence is ignored, so that the amount of work is known beforehand.
"""

import argparse
import random
import time

from quire import LLM, SamplingParams


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--num-requests", type=int, default=256)
    parser.add_argument("--input-len", type=int, nargs=2, default=(100, 1024), metavar=("MIN", "MAX"))
    parser.add_argument("--output-len", type=int, nargs=2, default=(100, 1024), metavar=("MIN", "MAX"))
    parser.add_argument("--max-num-seqs", type=int, default=256)
    parser.add_argument("--max-num-batched-tokens", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with LLM(
        args.model, max_num_seqs=args.max_num_seqs, max_num_batched_tokens=args.max_num_batched_tokens, seed=args.seed
    ) as llm:
        vocab_size = llm.tokenizer.vocab_size
        prompts = [
            {"prompt_token_ids": [rng.randrange(vocab_size) for _ in range(rng.randint(*args.input_len))]}
            for _ in range(args.num_requests)
        ]
        params = [
            SamplingParams(temperature=0.6, ignore_eos=True, max_tokens=rng.randint(*args.output_len)) for _ in prompts
        ]
        started_s = time.perf_counter()
        outputs = llm.generate(prompts, params)
        elapsed_s = time.perf_counter() - started_s
    num_input = sum(len(output.prompt_token_ids) for output in outputs)
    num_output = sum(len(output.outputs[0].token_ids) for output in outputs)
    print(
        f"{len(outputs)} requests, {num_input:,} tokens in, {num_output:,} out, {elapsed_s:.2f} s: "
        f"{num_output / elapsed_s:,.1f} output tok/s, {(num_input + num_output) / elapsed_s:,.1f} in all"
    )


if __name__ == "__main__":
    main()
