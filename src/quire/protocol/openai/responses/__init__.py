"""The Responses API: a conversation as a list of items, of messages, thoughts, calls and what came of them.

Nothing of a request is kept, so what refers to an earlier one is refused.
"""

from quire.protocol.openai.responses.request import ResponsesRequest

__all__ = ["ResponsesRequest"]
