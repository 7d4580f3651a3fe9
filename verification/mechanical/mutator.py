"""One slip at a time, made by machine: what a tired author could have typed.

A function's syntax tree is walked in the order of its text; at each node every operator
of `OPERATORS` offers replacements.  Messages, docstrings, annotations, decorators and
what is raised are left alone: each mutant changes what is computed.

A mutant is named by its file, its function and the expression before and after, without
line numbers: an entry of the survivors file outlives changes elsewhere.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from dataclasses import dataclass
from types import CodeType
from typing import Any

__all__ = ["OPERATORS", "Mutant", "Unit", "mutants", "units"]

WIDTH = 60
"""How much of its surroundings a mutant's name shows, in characters."""

SWAPPED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
ALONE = {
    ast.Add: ("left", "right"),
    ast.Mult: ("left", "right"),
    ast.MatMult: ("left", "right"),
    ast.Sub: ("left",),
    ast.Div: ("left",),
    ast.Pow: ("left",),
    ast.FloorDiv: ("left",),
}
"""Which operands may stand without the other."""

COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
"""The edge moved, and the contrary."""

PAIRS = (
    ("sum", "mean"),
    ("max", "min"),
    ("maximum", "minimum"),
    ("argmax", "argmin"),
    ("any", "all"),
    ("floor", "ceil"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
    ("sin", "cos"),
    ("cumsum", "cumprod"),
    ("triu_indices", "tril_indices"),
)
RENAMED = dict(PAIRS) | {b: a for a, b in PAIRS} | {"fsum": "prod", "prod": "sum"}
DROPPED = {
    *("sqrt", "exp", "log", "expm1", "log1p", "abs", "tanh", "square", "isqrt"),
    *("swapaxes", "transpose", "ceil", "floor", "cumsum", "cumprod", "reversed"),
    *("root", "diff", "erf", "ldexp"),
}
"""Functions in whose place their first argument is left."""

SILENT = {"isinstance", "hasattr", "getattr", "type", "warn", "zip", "super"}
SILENT |= {"max", "min", "maximum", "minimum", "hypot", "logaddexp", "swapaxes"}
"""Functions whose arguments are not swapped: it would crash, or change nothing."""

SKIPPED = (ast.JoinedStr, ast.Raise, ast.Assert, ast.Import, ast.ImportFrom)
UNTOUCHED = {"strict", "dtype", "maxsize"}
"""Keywords of calls that tell of invariants and of storage."""

UNNAMED = {"__repr__", "__str__"}


@dataclass(frozen=True)
class Unit:
    """A function or method of a module with what is nested in it, or a constant.

    Attributes
    ----------
    file : str
        Its path below the root, with forward slashes.
    name : str
        The qualified name, ``SGLD.run``.
    node : ast.FunctionDef, ast.Assign or ast.AnnAssign
    classes : tuple of str
        In which it stands, outermost first.
    """

    file: str
    name: str
    node: Any
    classes: tuple[str, ...] = ()

    @property
    def constant(self) -> bool:
        """Whether it is a constant of the module."""
        return not isinstance(self.node, ast.FunctionDef)

    def compiled(self, filename: str) -> CodeType:
        """The function's code as its tree stands now, or that of a constant's value.

        Raises
        ------
        SyntaxError, ValueError
            If the tree is no longer a program.
        """
        if self.constant:
            value = ast.Expression(self.node.value)
            return compile(value, filename, "eval")
        node = copy(self.node)
        node.decorator_list = []
        for name in reversed(self.classes):
            around = ast.ClassDef(name, [], [], [node], [])
            node = ast.copy_location(around, node)
        tree = ast.Module([node], [])
        code = compile(tree, filename, "exec")
        return _within(code, self.name)

    def default(self, name: str) -> CodeType:
        """The code of a parameter's default value as its tree stands now."""
        given = dict(_defaults(self.node))[name]
        value = getattr(given.parent, given.field)[given.index]
        return compile(ast.Expression(value), self.file, "eval")


def _within(code: CodeType, name: str) -> CodeType:
    """The code of this qualified name, inside of a module's."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_qualname == name:
                return inner
            if name.startswith(f"{inner.co_qualname}."):
                return _within(inner, name)
    raise ValueError(f"there is no {name}")


@dataclass(frozen=True)
class _Site:
    """Where a node hangs: a field of its parent, or an entry of that field."""

    parent: Any
    field: str
    index: int | None = None

    @property
    def node(self) -> Any:
        value = getattr(self.parent, self.field)
        return value if self.index is None else value[self.index]

    def exchanged(self, new: Any) -> Any:
        """Hang another node there; the one that was."""
        old = self.node
        if self.index is None:
            setattr(self.parent, self.field, new)
        else:
            getattr(self.parent, self.field)[self.index] = new
        return old


@dataclass(frozen=True, eq=False)
class Mutant:
    """A unit in which one node is replaced.

    Attributes
    ----------
    unit : Unit
    operator : str
        A key of `OPERATORS`.
    id : str
        Its name.
    lines : range
        Where its statement, or the head of it, stands.
    default : str
        The parameter whose default value is concerned, if any.
    """

    unit: Unit
    operator: str
    id: str
    lines: range
    default: str
    site: _Site
    new: Any

    def compiled(self, filename: str) -> CodeType:
        """The code with the slip; that of a default value if that is concerned."""
        old = self.site.exchanged(self.new)
        try:
            if self.default:
                return self.unit.default(self.default)
            return self.unit.compiled(filename)
        finally:
            self.site.exchanged(old)


# --- what is mutated ------------------------------------------------------------------


def units(file: str, text: str) -> list[Unit]:
    """The functions, methods and numerical constants of a module, in its order."""
    return list(_units(file, ast.parse(text).body, ()))


def _units(file: str, body: list[Any], classes: tuple[str, ...]) -> Iterator[Unit]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _units(file, node.body, (*classes, node.name))
        elif isinstance(node, ast.FunctionDef):
            if node.name not in UNNAMED:
                name = ".".join((*classes, node.name))
                yield Unit(file, name, node, classes)
        elif not classes and _is_constant(node):
            yield Unit(file, _target(node).id, node)


def _is_constant(node: ast.stmt) -> bool:
    """Whether a statement gives a name to something with numbers in it."""
    numbers = (_number(part) is not None for part in ast.walk(node))
    return isinstance(_target(node), ast.Name) and any(numbers)


def _target(node: Any) -> Any:
    """What a statement gives a value to, if it is one thing."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        return node.targets[0]
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return node.target
    return None


def mutants(unit: Unit) -> list[Mutant]:
    """Every mutant of a unit, in the order of its text; no two are the same program.

    Those that compile to the code of the unit itself are none.
    """
    original = _fingerprint(unit.compiled("mutant"))
    seen, counted = {original}, Counter[str]()
    found = []
    for place in _places(unit):
        for operator, offers in OPERATORS.items():
            for new in offers(place):
                mutant = _mutant(unit, place, operator, new, counted)
                try:
                    print_ = mutant.default + _fingerprint(mutant.compiled("mutant"))
                except (SyntaxError, ValueError):
                    continue
                if print_ not in seen:
                    seen.add(print_)
                    found.append(mutant)
    return found


def _fingerprint(code: CodeType) -> str:
    """What the code does, whatever lines it stands on."""
    parts = [
        _fingerprint(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts
    ]
    return repr((code.co_code, code.co_names, code.co_varnames, parts))


def _mutant(
    unit: Unit, place: _Place, operator: str, new: Any, counted: Counter[str]
) -> Mutant:
    shown = place.shown
    before = _head(shown)
    old = place.site.exchanged(ast.fix_missing_locations(_located(new, place.node)))
    # the node shown may be the one that was exchanged
    after = _head(place.site.node if shown is old else shown)
    new = place.site.exchanged(old)
    name = f"{unit.file}:{unit.name}: {before} -> {after}"
    counted[name] += 1
    again = f" #{counted[name]}" if counted[name] > 1 else ""
    return Mutant(
        unit, operator, name + again, place.lines, place.default, place.site, new
    )


def _head(node: Any) -> str:
    """The text of a node, without the body of an `if`."""
    if isinstance(node, ast.If):
        return f"if {ast.unparse(node.test)}: ..."
    return ast.unparse(node)


def _located(new: Any, node: Any) -> Any:
    """The new node where the old one stands; shared parts keep their places."""
    return ast.copy_location(new, node) if new is not node else new


# --- where ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """A node with what an operator may want to know of it."""

    site: _Site
    above: tuple[Any, ...]  # the nodes around it, outermost first
    kinds: dict[str, str]  # of the names of the unit: their annotations
    assigned: frozenset[str]  # names that have a value before this statement
    lines: range
    default: str = ""

    @property
    def node(self) -> Any:
        return self.site.node

    @property
    def shown(self) -> Any:
        """The largest surroundings that are short enough to be read."""
        chosen = self.node
        for around in reversed(self.above):
            if not isinstance(around, ast.expr | SIMPLE | ast.keyword):
                break
            if isinstance(around, ast.expr | SIMPLE):
                atom = isinstance(chosen, ast.Name | ast.Constant)
                if len(ast.unparse(around)) > WIDTH and not atom:
                    break
                chosen = around
        return chosen


SIMPLE = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return | ast.Expr


def _places(unit: Unit) -> Iterator[_Place]:
    node = unit.node
    if unit.constant:
        lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        site = _Site(node, "value")
        yield from _descend(site, (node,), {}, frozenset(), lines)
        return
    kinds = _kinds(node)
    known = frozenset(kinds)
    for name, site in _defaults(node):
        for place in _descend(site, (), {}, frozenset(), range(0)):
            yield _Place(place.site, place.above, {}, frozenset(), range(0), name)
    yield from _statements(node, "body", (), kinds, known)


def _kinds(node: ast.FunctionDef) -> dict[str, str]:
    """Parameters of a function by their annotations; without one there is no kind."""
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in given}


def _defaults(node: ast.FunctionDef) -> list[tuple[str, _Site]]:
    """Names and places of the default values that are numbers."""
    found = []
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
    first = len(names) - len(node.args.defaults)
    for i, value in enumerate(node.args.defaults):
        if _number(value) is not None:
            found.append((names[first + i], _Site(node.args, "defaults", i)))
    for i, other in enumerate(node.args.kw_defaults):
        if other is not None and _number(other) is not None:
            name = node.args.kwonlyargs[i].arg
            found.append((name, _Site(node.args, "kw_defaults", i)))
    return found


def _statements(
    parent: Any,
    field: str,
    above: tuple[Any, ...],
    kinds: dict[str, str],
    known: frozenset[str],
) -> Iterator[_Place]:
    body = getattr(parent, field)
    for index, node in enumerate(body):
        if isinstance(node, SKIPPED) or _is_text(node):
            continue
        site = _Site(parent, field, index)
        yield from _statement(site, (*above, parent), kinds, known)
        known = known | _names_set(node)


def _statement(
    site: _Site, above: tuple[Any, ...], kinds: dict[str, str], known: frozenset[str]
) -> Iterator[_Place]:
    node = site.node
    bodies = [f for f in ("body", "orelse", "finalbody") if getattr(node, f, None)]
    last = node.end_lineno or node.lineno
    if bodies and isinstance(getattr(node, bodies[0]), list):
        last = max(node.lineno, getattr(node, bodies[0])[0].lineno - 1)
    lines = range(node.lineno, last + 1)
    yield _Place(site, above, kinds, known, lines)
    if isinstance(node, ast.FunctionDef):
        yield from _statements(node, "body", above, kinds | _kinds(node), known)
        return
    for part in _parts(node):
        if part.field not in ("body", "orelse", "finalbody", "handlers"):
            yield from _descend(part, (*above, node), kinds, known, lines)
    for field in bodies:
        if isinstance(getattr(node, field), list):
            yield from _statements(node, field, above, kinds, known)
    for handler in getattr(node, "handlers", ()):
        yield from _statements(handler, "body", above, kinds, known)


def _descend(
    site: _Site,
    above: tuple[Any, ...],
    kinds: dict[str, str],
    known: frozenset[str],
    lines: range,
) -> Iterator[_Place]:
    """A node of an expression and all below it."""
    node = site.node
    if isinstance(node, SKIPPED) or _is_text(node) or _called(node) == "errstate":
        return
    if isinstance(node, ast.keyword) and node.arg in UNTOUCHED:
        return
    yield _Place(site, above, kinds, known, lines)
    for part in _parts(node):
        if part.field not in ("annotation", "ctx", "op", "ops", "returns"):
            yield from _descend(part, (*above, node), kinds, known, lines)


def _parts(node: Any) -> Iterator[_Site]:
    for field, value in ast.iter_fields(node):
        if isinstance(value, list):
            for i, entry in enumerate(value):
                if isinstance(entry, ast.AST):
                    yield _Site(node, field, i)
        elif isinstance(value, ast.AST) and field != "annotation":
            yield _Site(node, field)


def _is_text(node: Any) -> bool:
    inner = node.value if isinstance(node, ast.Expr) else node
    return isinstance(inner, ast.Constant) and isinstance(inner.value, str | bytes)


def _names_set(node: ast.AST) -> frozenset[str]:
    return frozenset(
        n.id
        for n in ast.walk(node)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    )


def _called(node: Any) -> str:
    """The last part of the name of what is called, if anything."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _number(node: Any) -> int | float | None:
    """The number that a node is, if it is one; truth and falsehood are none."""
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
        return None
    return node.value if isinstance(node.value, int | float) else None


# --- the operators --------------------------------------------------------------------


def _operator(place: _Place) -> Iterator[Any]:
    """Another arithmetical operator; the operands of a matrix product exchanged."""
    node = place.node
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in SWAPPED:
        other = copy(node)
        other.op = SWAPPED[type(node.op)]()
        yield other
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        yield ast.BinOp(node.right, node.op, node.left)


def _operand(place: _Place) -> Iterator[Any]:
    """One operand left out."""
    node = place.node
    if isinstance(node, ast.BinOp):
        for side in ALONE.get(type(node.op), ()):
            yield getattr(node, side)


def _constant(place: _Place) -> Iterator[Any]:
    """A whole number one more or less, another one twice or half as large."""
    number = _number(place.node)
    if number is None:
        return
    if isinstance(number, int):
        yield ast.Constant(number + 1)
        if number > 0:
            yield ast.Constant(number - 1)
    elif number == 0:
        yield ast.Constant(1.0)
    else:
        yield ast.Constant(2 * number)
        yield ast.Constant(number / 2)


def _comparison(place: _Place) -> Iterator[Any]:
    """The edge of a comparison moved, or the contrary of it."""
    node = place.node
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            for new in COMPARED[type(op)]:
                ops = [*node.ops[:i], new(), *node.ops[i + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)


def _sign(place: _Place) -> Iterator[Any]:
    """A minus dropped, or added to what is returned."""
    node = place.node
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    if isinstance(node, ast.Return) and isinstance(node.value, ast.BinOp):
        yield ast.Return(ast.UnaryOp(ast.USub(), node.value))


def _logic(place: _Place) -> Iterator[Any]:
    """`and` for `or`, a `not` dropped or added to a condition, truth for falsehood."""
    node = place.node
    if isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield ast.BoolOp(other, node.values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    above = place.above[-1] if place.above else None
    tested = isinstance(above, ast.If | ast.IfExp | ast.While) and above.test is node
    if tested and isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.BoolOp):
        yield ast.UnaryOp(ast.Not(), node)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)


def _function(place: _Place) -> Iterator[Any]:
    """A function left out, or its sibling in its place; a transpose left out."""
    node = place.node
    if isinstance(node, ast.Attribute) and node.attr == "T":
        yield node.value
    name = _called(node)
    if not name:
        return
    if name in RENAMED:
        other = deepcopy(node)
        if isinstance(other.func, ast.Attribute):
            other.func.attr = RENAMED[name]
        else:
            other.func.id = RENAMED[name]
        yield other
    if name in DROPPED and node.args:
        yield node.args[0]
    if name == "copy" and not node.args:
        yield node.func.value


def _arguments(place: _Place) -> Iterator[Any]:
    """Two neighbouring arguments of a call exchanged."""
    node = place.node
    if not isinstance(node, ast.Call) or _called(node) in SILENT:
        return
    for i, (a, b) in enumerate(zip(node.args, node.args[1:], strict=False)):
        if _is_text(a) or isinstance(a, ast.Starred) or isinstance(b, ast.Starred):
            continue
        if ast.dump(a) != ast.dump(b):
            args = [*node.args[:i], b, a, *node.args[i + 2 :]]
            yield ast.Call(node.func, args, node.keywords)


def _name(place: _Place) -> Iterator[Any]:
    """The next parameter of the same annotation in the place of one."""
    node = place.node
    if not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)):
        return
    kind = place.kinds.get(node.id)
    if not kind:
        return
    alike = [name for name, other in place.kinds.items() if other == kind]
    if len(alike) > 1:
        following = alike[(alike.index(node.id) + 1) % len(alike)]
        yield ast.Name(following, ast.Load())


def _deletion(place: _Place) -> Iterator[Any]:
    """A statement left out of which the next ones can do without."""
    node = place.node
    if isinstance(node, ast.AugAssign | ast.Continue | ast.Break | ast.Expr):
        yield ast.Pass()
    if isinstance(node, ast.If) and not node.orelse:
        yield ast.If(ast.Constant(False), node.body, [])
    if isinstance(node, ast.Assign):
        targets = [t for target in node.targets for t in _flat(target)]
        if all(_has_value(target, place.assigned) for target in targets):
            yield ast.Pass()


def _flat(target: Any) -> list[Any]:
    if isinstance(target, ast.Tuple | ast.List):
        return [leaf for part in target.elts for leaf in _flat(part)]
    return [target]


def _has_value(target: Any, assigned: frozenset[str]) -> bool:
    if isinstance(target, ast.Name):
        return target.id in assigned
    return isinstance(target, ast.Subscript)


OPERATORS: dict[str, Callable[[_Place], Iterator[Any]]] = {
    "operator": _operator,
    "operand": _operand,
    "constant": _constant,
    "comparison": _comparison,
    "sign": _sign,
    "logic": _logic,
    "function": _function,
    "arguments": _arguments,
    "name": _name,
    "deletion": _deletion,
}
"""What a slip may be, in the order in which they are tried at a node."""
