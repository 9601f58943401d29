"""What lies in the folder of a collection beside its tables, and how does it get there for good?

Segments and their names, the writer's lock, folders and files that are synced. Knows nothing of what segments hold.
"""
