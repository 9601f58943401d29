"""Where does a collection live, so that nothing acknowledged is lost and nothing half-done is seen?

A folder with a database, which alone says what there is, and index files that can be made from it again (store.py).
"""
