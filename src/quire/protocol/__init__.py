"""What goes over the wire, and what does each field of it mean?

`openai` holds the requests of the OpenAI API with vLLM's further parameters, `openai_responses` the answers. Neither
knows HTTP or the engine.
"""
