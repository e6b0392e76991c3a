"""Commands that produce the project's own figures and numbers."""
