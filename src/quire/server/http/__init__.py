"""What is between a route and the wire: connections, the gate every request passes, bodies, streams."""
