"""The same questions over gRPC: the calls of `quire.proto` beside HTTP, in one process and one event loop."""
