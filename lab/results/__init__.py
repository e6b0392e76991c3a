"""Runs on disk and what they hold: shards, scores, outcomes by pass marks, and one row of counts per condition.

Tables of runs that were trained elsewhere come in by `table` and `observed`, and are results like any other.

It imports `config.schema` and `statistics`, never JAX; everything above may import it.
"""
