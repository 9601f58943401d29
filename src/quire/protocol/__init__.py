"""What goes over the wire, and what does each field of it mean?

`fields` says how a body is read; `openai` holds the requests of that API with vLLM's further parameters, and its
answers. None of it knows HTTP or the engine.
"""
