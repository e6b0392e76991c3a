"""Runs on disk and what they hold: shards, scores, outcomes by pass marks, and one row of counts per condition.

It imports `config.schema` and `statistics`, never JAX; everything above may import it.
"""
