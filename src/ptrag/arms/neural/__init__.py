"""The networks of the paper and their mended forms. Start with ``networks``."""
