"""The text of a config: plain YAML, read with the line of every key and without running anything."""

import io

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

MAX_DEPTH = 20


class ConfigError(Exception):
    """A config that cannot be used; `problems` holds one line for each thing that is wrong."""

    def __init__(self, problems):
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def read_yaml(text, file):
    """Read YAML 1.2 without tags or aliases; this never runs code.

    Returns:
        The plain data; the line of every key, by its path; and (path, message) of every key given twice.

    Raises:
        ConfigError: the text is not YAML of that kind; `file` names it.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True
    try:
        depth = 0
        for event in yaml.parse(io.StringIO(text)):
            line = event.start_mark.line + 1
            if isinstance(event, AliasEvent):
                raise ConfigError([f"{file}:{line}: aliases (*name) are not supported: write the value out"])
            if isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent) and event.tag is not None:
                raise ConfigError([f"{file}:{line}: tags ({event.tag}) are not supported: a config is plain data"])
            if isinstance(event, MappingStartEvent | SequenceStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise ConfigError([f"{file}:{line}: nested deeper than the limit of {MAX_DEPTH} levels"])
            elif isinstance(event, MappingEndEvent | SequenceEndEvent):
                depth -= 1
        lines, repeated = {}, []
        node = yaml.compose(io.StringIO(text))
        if node is not None:
            _walk(node, (), lines, repeated)
        return yaml.load(io.StringIO(text)), lines, repeated
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(
            [f"{file}:{mark.line + 1 if mark else 1}: not YAML: {error.problem or error.context}"]
        ) from None
    except (YAMLError, ValueError) as error:
        raise ConfigError([f"{file}: not YAML: {str(error).splitlines()[0]}"]) from None


def _walk(node, key, lines, repeated):
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, MappingNode):
        seen = set()
        for name, value in node.value:
            if not isinstance(name, ScalarNode):
                raise MarkedYAMLError(problem="a key must be a plain name", problem_mark=name.start_mark)
            if name.value in seen:
                repeated.append(
                    ((*key, name.value), f"given twice, the second time on line {name.start_mark.line + 1}")
                )
            seen.add(name.value)
            lines.setdefault((*key, name.value), name.start_mark.line + 1)
            _walk(value, (*key, name.value), lines, repeated)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*key, index), lines, repeated)
