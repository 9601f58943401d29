"""How do requests become tokens, one step at a time?

`assembly` puts an engine together, `engine` is its loop, `runner` runs a step, `sampler` chooses the tokens; requests
come in through `prompts` and go out through `outputs`. `async_engine` runs the loop in a thread of its own.
"""
