"""What this machine grants this process, and what in its surroundings decides the bytes of a run.

Anybody may import it; it imports nothing of the lab, and only `fixed` imports JAX.
"""
