"""What the server does beside its model: it keeps collections, in threads of their own, and never in the engine's."""
