"""A batch of prompts through a model in this process.

    python examples/offline_batch.py [MODEL] [--max-tokens 32]

MODEL is a directory, a GGUF file or a hub id; without it the tiny embedded model answers.
"""

import argparse

from quire import LLM, SamplingParams

PROMPTS = [
    "The capital of France is",
    "A quire is a gathering of",
    "In a paged KV cache, every block holds",
    "Once upon a time there was",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--temperature", type=float, default=0.0)
    args = parser.parse_args()
    params = SamplingParams(temperature=args.temperature, max_tokens=args.max_tokens)
    with LLM(args.model) as llm:
        for output in llm.generate(PROMPTS, params):
            completion = output.outputs[0]
            print(f"{output.prompt!r} → {completion.text!r} ({completion.finish_reason})")


if __name__ == "__main__":
    main()
