"""Deploys Bicep to nowhere: what would be created with given parameters, as plain data that tests can look at.

`expand` evaluates a parameter file and its template with all modules, loops, conditions and functions, and returns the
resources with their final properties. What only Azure can know (an app's host name, an identity's principal) becomes a
`Late` string that says where it comes from, so that a test can follow it from the giver to the taker.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.infra.bicep.bicep_parse import parse, plain
from tests.infra.functions import BINARY, FUNCTIONS, SUBSCRIPTION


class Late(str):
    """A value that is known only during the deployment: `<app.properties.defaultHostName>`."""

    __slots__ = ()


@dataclass(eq=False)
class Resource:
    """One resource as it would be sent to Azure."""

    symbol: str
    type: str
    api_version: str
    name: str
    group: str
    body: dict[str, Any]
    file: str
    parent: Resource | None = None
    scope: Resource | None = None
    one_at_a_time: bool = False
    after: list[Resource] = field(default_factory=list)

    @property
    def id(self) -> str:
        """A resource id: the group, the type, the names from the outermost parent on."""
        home = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{self.group}" if self.group else ""
        return f"{home}/providers/{self.type}/{self.full_name}"

    @property
    def full_name(self) -> str:
        """Names of the parents and its own, with slashes."""
        return f"{self.parent.full_name}/{self.name}" if self.parent else self.name

    @property
    def properties(self) -> dict[str, Any]:
        """What the template says under `properties`."""
        found: dict[str, Any] = self.body.get("properties", {})
        return found


@dataclass
class Deployment:
    """All that one parameter file would create."""

    parameters: dict[str, Any] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def of(self, type_: str) -> list[Resource]:
        """The resources of one type."""
        return [r for r in self.resources if r.type == type_]

    def one(self, type_: str, symbol: str) -> Resource:
        """The only resource of a type with this symbolic name."""
        (found,) = [r for r in self.of(type_) if r.symbol == symbol]
        return found


def expand(parameter_file: Path, env: Mapping[str, str] | None = None) -> Deployment:
    """Everything that a deployment of this parameter file would create."""
    given = parameters(parameter_file, env)
    template = parameter_file.parent / given.pop("using")
    deployment = Deployment(given)
    deployment.outputs = _File(template, given, "", deployment).run()
    return deployment


def parameters(parameter_file: Path, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The values of a parameter file, and under `using` the template that it is for."""
    file = _File(parameter_file, {}, "", Deployment(), env or {})
    values = {d.name: file.value(d.name) for d in file.statements if d.kind == "param"}
    (using,) = [d for d in file.statements if d.kind == "using"]
    return {"using": plain(using.value), **values}


class _File:
    """One Bicep file at work, with the parameters that it was given."""

    def __init__(
        self, path: Path, given: dict[str, Any], group: str, out: Deployment, env: Mapping[str, str] | None = None
    ) -> None:
        self.statements, faults, _ = parse(path.read_text(encoding="utf-8"))
        assert not faults, f"{path}: {faults}"
        self.path, self.given, self.group, self.out, self.env = path, given, group, out, env
        self.declared = {d.name: d for d in self.statements if d.kind in ("param", "var", "resource", "module")}
        self.known: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """Evaluates everything that stands in the file; returns the outputs."""
        for d in self.declared.values():
            self.value(d.name)
        return {d.name: self.eval(d.value, {}) for d in self.statements if d.kind == "output"}

    def value(self, name: str) -> Any:
        """What a declared name stands for."""
        if name not in self.known:
            self.known[name] = getattr(self, f"_{self.declared[name].kind}")(self.declared[name])
        return self.known[name]

    def _param(self, d: Any) -> Any:
        if d.name in self.given:
            return self.given[d.name]
        return self.eval(d.value, {}) if d.value else None

    def _var(self, d: Any) -> Any:
        return self.eval(d.value, {})

    def _resource(self, d: Any) -> Any:
        return self._each(d.value, {}, lambda body, env: self._create(d, body, env, None))

    def _module(self, d: Any) -> Any:
        return self._each(d.value, {}, lambda body, env: self._deploy(d, body, env))

    def _each(self, value: Any, env: dict[str, Any], make: Callable[[Any, dict[str, Any]], Any]) -> Any:
        if value.kind == "for":
            return [self._each(value.body, round_, make) for round_ in self._rounds(value, env)]
        if value.kind == "if":
            return make(value.body, env) if self.eval(value.cond, env) else None
        return make(value, env)

    def _rounds(self, loop: Any, env: dict[str, Any]) -> list[dict[str, Any]]:
        items = self.eval(loop.over, env)
        return [{**env, **dict(zip(loop.names, (item, i), strict=False))} for i, item in enumerate(items)]

    def _create(self, d: Any, body: Any, env: dict[str, Any], outer: Resource | None) -> Resource:
        kind, _, version = plain(d.path).partition("@")
        values = {
            p.key.parts[0]: self.eval(p.value, env)
            for p in body.props
            if p.kind == "prop" and p.key.parts[0] != "dependsOn"
        }
        parent = outer or values.pop("parent", None)
        group = values["name"] if kind == "Microsoft.Resources/resourceGroups" else self.group
        made = Resource(
            symbol=d.name,
            type=f"{outer.type}/{kind}" if outer else kind,
            api_version=version or (outer.api_version if outer else ""),
            name=values.pop("name"),
            group=group,
            body=values,
            file=self.path.name,
            parent=parent,
            scope=values.pop("scope", None),
            one_at_a_time=any(c.name == "batchSize" and c.args[0].value == 1 for c in d.decorators),
            after=self._after(body, env),
        )
        if not d.existing:
            self.out.resources.append(made)
        for p in body.props:
            if p.kind == "resource":
                self._each(p.value, env, lambda inner, e, p=p: self._create(p, inner, e, made))  # type: ignore[misc]
        return made

    def _after(self, body: Any, env: dict[str, Any]) -> list[Resource]:
        named = [p.value for p in body.props if p.kind == "prop" and p.key.parts == ["dependsOn"]]
        items = [item for value in named for item in self.eval(value, env)]
        flat = [r for item in items for r in (item if isinstance(item, list) else [item])]
        return [r for r in flat if isinstance(r, Resource)]

    def _deploy(self, d: Any, body: Any, env: dict[str, Any]) -> dict[str, Any]:
        values = {p.key.parts[0]: self.eval(p.value, env) for p in body.props if p.key.parts[0] != "dependsOn"}
        group = values["scope"].name if "scope" in values else self.group
        file = _File(self.path.parent / plain(d.path), values.get("params", {}), group, self.out)
        return {"outputs": file.run()}

    # -- expressions --
    def eval(self, e: Any, env: dict[str, Any]) -> Any:
        """The value of an expression; `env` holds the variables of loops and lambdas."""
        return getattr(self, f"_e_{e.kind}")(e, env)

    def _e_str(self, e: Any, env: dict[str, Any]) -> Any:
        parts = [p if isinstance(p, str) else self.eval(p, env) for p in e.parts]
        assert not any(isinstance(p, dict | list | Resource) for p in parts), f"{self.path}:{e.line}: no text"
        return "".join(str(p).lower() if isinstance(p, bool) else str(p) for p in parts)

    def _e_num(self, e: Any, env: dict[str, Any]) -> Any:
        return e.value

    def _e_word(self, e: Any, env: dict[str, Any]) -> Any:
        return {"true": True, "false": False, "null": None}[e.value]

    def _e_paren(self, e: Any, env: dict[str, Any]) -> Any:
        return self.eval(e.value, env)

    def _e_sure(self, e: Any, env: dict[str, Any]) -> Any:
        value = self.eval(e.obj, env)
        assert value is not None, f"{self.path}:{e.line}: null where the template says it is not"
        return value

    def _e_object(self, e: Any, env: dict[str, Any]) -> Any:
        return {self.eval(p.key, env): self.eval(p.value, env) for p in e.props}

    def _e_array(self, e: Any, env: dict[str, Any]) -> Any:
        return [self.eval(i, env) for i in e.items]

    def _e_for(self, e: Any, env: dict[str, Any]) -> Any:
        return [self.eval(e.body, round_) for round_ in self._rounds(e, env)]

    def _e_ternary(self, e: Any, env: dict[str, Any]) -> Any:
        return self.eval(e.yes if self.eval(e.cond, env) else e.no, env)

    def _e_binary(self, e: Any, env: dict[str, Any]) -> Any:
        left = self.eval(e.left, env)
        if e.op in ("&&", "||", "??"):
            settled = left is not None if e.op == "??" else left == (e.op == "||")
            return left if settled else self.eval(e.right, env)
        return BINARY[e.op](left, self.eval(e.right, env))

    def _e_unary(self, e: Any, env: dict[str, Any]) -> Any:
        value = self.eval(e.value, env)
        return not value if e.op == "!" else -value

    def _e_lambda(self, e: Any, env: dict[str, Any]) -> Any:
        return lambda *args: self.eval(e.body, {**env, **dict(zip(e.names, args, strict=False))})

    def _e_name(self, e: Any, env: dict[str, Any]) -> Any:
        return env[e.name] if e.name in env else self.value(e.name)

    def _e_member(self, e: Any, env: dict[str, Any]) -> Any:
        return self._member(self.eval(e.obj, env), e.name, e)

    def _e_index(self, e: Any, env: dict[str, Any]) -> Any:
        obj, index = self.eval(e.obj, env), self.eval(e.index, env)
        if isinstance(index, str):
            return self._member(obj, index, e)
        assert index >= 0, f"{self.path}:{e.line}: there is no item {index}"  # indexOf says -1, Python has such an item
        return obj[index]

    def _member(self, obj: Any, name: str, e: Any) -> Any:
        if isinstance(obj, Resource):
            if name in ("id", "name", "type"):
                return getattr(obj, name)
            return _Properties(obj) if name == "properties" else obj.body[name]
        if isinstance(obj, Late):
            return Late(f"{obj[:-1]}.{name}>")
        if obj is None or name not in obj:
            assert e.safe or isinstance(obj, _Properties), f"{self.path}:{e.line}: {name} is not in {obj}"
            return obj.late(name) if isinstance(obj, _Properties) else None
        return obj[name]

    def _e_call(self, e: Any, env: dict[str, Any]) -> Any:
        args = [self.eval(a, env) for a in e.args]
        if e.name in FUNCTIONS:
            return FUNCTIONS[e.name](*args)
        return getattr(self, f"_f_{e.name}")(*args)

    # -- functions that depend on where they stand --
    def _f_loadJsonContent(self, path: str) -> Any:  # noqa: N802  Bicep's name
        return json.loads((self.path.parent / path).read_text(encoding="utf-8"))

    def _f_loadTextContent(self, path: str) -> Any:  # noqa: N802
        return (self.path.parent / path).read_text(encoding="utf-8")

    def _f_readEnvironmentVariable(self, name: str, default: str) -> Any:  # noqa: N802
        return (self.env or {}).get(name, default)

    def _f_resourceGroup(self) -> Any:  # noqa: N802
        return {"id": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{self.group}"}

    def _f_resourceId(self, type_: str, name: str) -> Any:  # noqa: N802
        return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{self.group}/providers/{type_}/{name}"


class _Properties(dict[str, Any]):
    """The properties of a resource; those that the template does not set come from Azure."""

    def __init__(self, of: Resource) -> None:
        super().__init__(of.properties)
        self.of = of

    def late(self, name: str) -> Late:
        return Late(f"<{self.of.symbol} {self.of.full_name}: {name}>")
