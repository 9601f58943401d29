"""What goes over the wire, and what does each field of it mean?

`fields` says how a body is read; `openai` holds the requests of that API with vLLM's further parameters, and its
answers. `quire.proto` says the same for gRPC, and `_generated` is made of it; `protobuf` turns any message into a dict
and back, `rpc_bodies` those that are requests. None of it knows HTTP or the engine.
"""
