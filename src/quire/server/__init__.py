"""How is a model served over HTTP and gRPC?

`app` puts the routes around an engine, `run` opens the port and drains at the end. A request passes the gate (`http`:
its id, limits and log; `auth` says whose it is) to a file of `routes`, which reads its body; `answering` makes prompts
of it, runs them, and aborts them when nobody waits any more; `render` writes what the engine said as the API's dicts.
`grpc` asks the same questions by the messages of `quire.proto`, behind a gate of its own.
"""
