"""What the engine said as each API's own dicts, whole or as the events of a stream."""
