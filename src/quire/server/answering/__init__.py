"""From a body that was read to an answer: its prompts, their generation, and how the answer goes out."""
