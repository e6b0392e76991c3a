"""One module per claim of the essay, with its sentence and the rule of its verdict; `lab experiment NAME` runs it."""
