"""What can be asked of a collection at one version?

The indexes in memory and on disk, kept at the version of the tables, and readings that do not change under who reads.
"""
