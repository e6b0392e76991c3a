"""The claims of the essay: what a rule may say, and the book of sentences, verdicts and figures.

Only experiments and commands import it.
"""
