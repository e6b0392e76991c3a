"""What makes the blocks of the pages, one module per subject; `experiments.pages` puts them in their places.

A block is a function without arguments that returns Markdown, made of what figures/ holds.
"""
