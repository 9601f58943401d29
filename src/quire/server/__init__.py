"""How is a model served over HTTP?

`app` puts the routes around an engine, `run` opens the port and drains at the end. A request passes `middleware` (id,
limits, log), `auth` (whose is it), a file of routes, `door` (may it come in now), and `generation` (run it, and abort
it when nobody waits any more); `render` writes what the engine said as the API's own dicts, and `sse` streams them.
"""
