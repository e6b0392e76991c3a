"""Which lanes to train where, and how: from an experiment to a complete run on disk, in one process or many.

It imports JAX; the commands that train and the studies that train import it, and nothing that only reads results.
"""
