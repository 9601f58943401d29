"""A server in a process of its own, and a chat with it, streamed, by quire.Client.

python examples/serve_and_chat.py [QUESTION] [--model MODEL] [--max-tokens 48]
"""

import argparse
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from quire import Client

PASSAGE = "The lighthouse at Brill was built in 1843 by the harbour guild."
QUESTION = f"{PASSAGE}\n\nQuestion: When was the lighthouse built?"


@contextmanager
def server(model: str | None, *flags: str) -> Iterator[str]:
    """Its address, as soon as it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "quire.cli", "--log-level", "error", "serve", "--port", str(port)]
    process = subprocess.Popen([*command, *flags, *([model] if model else [])])
    try:
        url = f"http://127.0.0.1:{port}"
        while not is_ready(url):
            if process.poll() is not None:
                raise SystemExit("the server ended")
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ready"):
            return True
    except OSError:
        return False


def chat(url: str, question: str, max_tokens: int) -> Iterator[str]:
    """The answer, piece by piece."""
    with Client(url) as client:
        for event in client.chat_stream(question, max_tokens=max_tokens, temperature=0):
            for choice in event["choices"]:
                yield choice["delta"].get("content", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", nargs="?", default=QUESTION)
    parser.add_argument("--model")
    parser.add_argument("--max-tokens", type=int, default=48)
    args = parser.parse_args()
    with server(args.model) as url:
        print("answer:", end=" ")
        for piece in chat(url, args.question, args.max_tokens):
            print(piece, end="", flush=True)
        print()


if __name__ == "__main__":
    main()
