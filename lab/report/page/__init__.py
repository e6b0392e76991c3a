"""The page of a run: one HTML file, its charts and its templates; the command `lab report` alone imports it."""
