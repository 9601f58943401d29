"""How an ask gets to a server and its answer back: over HTTP or over gRPC, by the address."""
