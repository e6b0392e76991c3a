"""Commands that produce the project's own figures and numbers."""

from typing import Any

Json = dict[str, Any]  # what `json.loads` makes of an object: plain values, whatever they are
