"""From the text of an experiment to its conditions, or to every problem in it.

`schema` and `source` need no JAX and may be imported by anybody above; `experiment` builds tasks, so what only reads
results does not import it.
"""
