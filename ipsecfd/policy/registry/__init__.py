"""Registry exports of Windows' policy stores (spec 8.6).

`regfile` reads the text into a tree of keys, `blobs` the binary values, `objects` makes store
content of both.
"""
