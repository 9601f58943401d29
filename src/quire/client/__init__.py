"""How does another program ask a Quire server?

`Client` and `AsyncClient` have a method for each thing that can be asked. `asks` and `collection_asks` build the
request once, `transport` carries it over HTTP or gRPC, `retries` says when it is sent again. Knows the protocol and no
engine: it loads no torch.
"""

from quire.client.asynchronous import AsyncClient
from quire.client.blocking import Client
from quire.client.joined import joined_chat, joined_completion
from quire.client.retries import RetryPolicy

__all__ = ["AsyncClient", "Client", "RetryPolicy", "joined_chat", "joined_completion"]
