"""A second decoder, written from docs/FORMAT.md: short and slow, of numpy and the standard library alone.

It shares no line with bbcompress and imports nothing of it. Each module is some sections of the document, named in
its first line; `second_decoder.container.read` is where to begin.
"""
