"""CloudFormation's language, as far as the templates of the data plane use it."""

import re

import yaml


class _Loader(yaml.SafeLoader):
    """YAML with `!Function` for `{"Fn::Function": …}`."""


def _construct(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        value = value.split(".", 1) if suffix == "GetAtt" else value
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _construct)


def parse(text):
    return yaml.load(text, _Loader)


class Resolved:
    """A template with all parameters given. Resources are named by what `physical` says: logical id -> name."""

    _NOTHING = object()

    def __init__(self, template, parameters, region, account, physical):
        self._template = template
        unknown = parameters.keys() - template["Parameters"].keys()
        assert not unknown, f"the template has no parameters {unknown}"
        self._values = {
            **{name: str(each.get("Default", "")) for name, each in template["Parameters"].items()},
            **parameters,
            **physical,
            "AWS::Region": region,
            "AWS::AccountId": account,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NoValue": self._NOTHING,
        }

    def properties(self, logical_id):
        return self._value(self._template["Resources"][logical_id]["Properties"])

    def exists(self, logical_id):
        condition = self._template["Resources"][logical_id].get("Condition")
        return condition is None or self._condition(condition)

    def _condition(self, name):
        return self._value(self._template["Conditions"][name])

    def _condition_or_block(self, argument):
        """`Condition` names a condition in an expression, and begins a block in a policy."""
        return self._condition(argument) if isinstance(argument, str) else {"Condition": self._value(argument)}

    def _value(self, node):
        if isinstance(node, list):
            return [value for value in map(self._value, node) if value is not self._NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            function = self._FUNCTIONS.get(name)
            if function:
                return function(self, argument)
        values = {key: self._value(value) for key, value in node.items()}
        return {key: value for key, value in values.items() if value is not self._NOTHING}

    def _if(self, arguments):
        condition, then, otherwise = arguments
        return self._value(then if self._condition(condition) else otherwise)

    def _sub(self, argument):
        text, own = (argument[0], self._value(argument[1])) if isinstance(argument, list) else (argument, {})
        return re.sub(r"\$\{([^}]+)\}", lambda found: str(own.get(found[1]) or self._get(found[1])), text)

    def _get(self, name):
        """What `${name}` stands for, an attribute included."""
        if name in self._values:
            return self._values[name]
        return self._attribute(name.split(".", 1))

    def _attribute(self, path):
        return self._values[".".join(path)]

    def _equals(self, arguments):
        left, right = self._value(arguments)
        return str(left) == str(right)

    _FUNCTIONS = {
        "Ref": lambda self, name: self._values[name],
        "Condition": _condition_or_block,
        "Fn::If": _if,
        "Fn::Sub": _sub,
        "Fn::GetAtt": _attribute,
        "Fn::Equals": _equals,
        "Fn::Join": lambda self, arguments: arguments[0].join(self._value(arguments[1])),
        "Fn::Split": lambda self, arguments: self._value(arguments[1]).split(arguments[0]),
        "Fn::Not": lambda self, arguments: not self._value(arguments[0]),
        "Fn::And": lambda self, arguments: all(self._value(arguments)),
        "Fn::Or": lambda self, arguments: any(self._value(arguments)),
    }
