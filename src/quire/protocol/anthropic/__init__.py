"""The Anthropic API: conversations of blocks, as requests that become chats and answers as the dicts that are sent.

The further parameters of the OpenAI API's requests, such as `top_k` and `guided_json`, have the same names here.
"""

from quire.protocol.anthropic.request import CountTokensRequest, MessagesRequest

__all__ = ["CountTokensRequest", "MessagesRequest"]
