"""A server that keeps documents: put in over HTTP, searched, and asked about, with the answer's sources.

python examples/serve_a_collection.py [QUESTION] [--model MODEL]
"""

import argparse
from tempfile import TemporaryDirectory

from serve_and_chat import server

from quire import Client

NOTES = {
    "brill": "The lighthouse at Brill was built in 1843 by the harbour guild.",
    "orme": "The lighthouse at Orme was built in 1891 and burned down ten years later.",
    "tides": "At Brill the tide rises by four metres, at Orme by six.",
}
QUESTION = "When was the lighthouse at Orme built?"


def ask(client: Client, question: str) -> None:
    client.create_collection("notes", vectors="none")  # by words; without `vectors` by meaning too, where it can be
    client.upsert("notes", [{"id": name, "text": text} for name, text in NOTES.items()])
    for hit in client.search("notes", question, k=2):
        print(f"found {hit['document_id']}: {hit['text']}")
    message = client.chat(question, collection="notes", retrieval={"k": 2}, max_tokens=48)["choices"][0]["message"]
    print(f"answer: {message['content']}")
    for citation in message["citations"]:
        print(f"[{citation['number']}] is {citation['document_id']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", nargs="?", default=QUESTION)
    parser.add_argument("--model")
    args = parser.parse_args()
    with (
        TemporaryDirectory() as folder,
        server(args.model, "--collection-folder", folder) as url,
        Client(url) as client,
    ):
        ask(client, args.question)


if __name__ == "__main__":
    main()
