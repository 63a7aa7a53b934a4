"""A template as CloudFormation processed it (macros expanded), resolved for the parameters given."""

import re

_NOTHING = object()


class Processed:
    """Parameters, conditions and `Fn::If`, `Fn::Sub`, `Ref`; references to resources stay as they are."""

    def __init__(self, template, given):
        self._template = template
        unknown = given.keys() - template["Parameters"].keys()
        assert not unknown, f"the template has no parameters {unknown}"
        defaults = {name: str(each.get("Default", "")) for name, each in template["Parameters"].items()}
        self._values = {**defaults, **{name: str(value) for name, value in given.items()}, "AWS::NoValue": _NOTHING}

    def properties(self, logical_id):
        return self._resolved(self._template["Resources"][logical_id]["Properties"])

    def of_type(self, kind):
        """The properties of all resources of a type, by logical id."""
        found = self._template["Resources"]
        return {logical: self.properties(logical) for logical in found if found[logical]["Type"] == kind}

    def _resolved(self, node):
        if isinstance(node, list):
            return [value for value in map(self._resolved, node) if value is not _NOTHING]
        if not isinstance(node, dict):
            return node
        match [*node.items()]:
            case [("Ref", name)]:
                return self._values.get(name, node)
            case [("Fn::If", [condition, then, otherwise])]:
                return self._resolved(then if self._holds({"Condition": condition}) else otherwise)
            case [("Fn::Sub", str(text))]:
                return re.sub(r"\$\{([\w:]+)}", lambda found: self._values.get(found[1], found[0]), text)
        values = {key: self._resolved(value) for key, value in node.items()}
        return {key: value for key, value in values.items() if value is not _NOTHING}

    def _holds(self, condition):
        match [*condition.items()]:
            case [("Condition", name)]:
                return self._holds(self._template["Conditions"][name])
            case [("Fn::Equals", [left, right])]:
                return str(self._resolved(left)) == str(self._resolved(right))
            case [("Fn::Not", [negated])]:
                return not self._holds(negated)
            case [("Fn::And", those)]:
                return all(map(self._holds, those))
            case [("Fn::Or", those)]:
                return any(map(self._holds, those))
        raise NotImplementedError(f"a condition of another kind: {condition}")
