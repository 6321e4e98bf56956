"""Small changes of a module's code, one at a time: what a test suite that guards it must notice.

A mutant is named by where it is and by the statement before and after, so that a list of known ones survives every
change elsewhere in the file. Only what functions do is changed: fields' defaults, type aliases, docstrings and the
sentences of errors are not.
"""

from __future__ import annotations

import ast
import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

_SWAPPED: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
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
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
_OTHER_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "sum": "mean", "mean": "sum", "fsum": "prod",
                "minimum": "maximum", "maximum": "minimum", "zeros": "ones", "ones": "zeros"}  # fmt: skip
_NOT_CODE = ("annotation", "returns", "decorator_list", "bases", "keywords")
_SYMMETRIC = frozenset({"min", "max", "minimum", "maximum"})
_LONG, _AROUND = 110, 40
"""From how many characters on a statement is cut, and how many are shown before and after what differs."""


@dataclass(frozen=True)
class Mutant:
    """One change. ``tree`` is the whole module with it."""

    function: str
    before: str
    after: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return f"{self.function}: {self.before}  ->  {self.after}"


def mutants_of(source: str) -> list[Mutant]:
    """All mutants of a module's source, names unique; those that are no change of the code are left out."""
    found: dict[str, Mutant] = {}
    plain = ast.parse(source)
    for place in _places(plain):
        for change in range(len(_changes(_at(plain, place.path)))):
            tree = copy.deepcopy(plain)
            _put(tree, place.path, _changes(_at(tree, place.path))[change])
            ast.fix_missing_locations(tree)
            before, after = _cut(_shown(_at(plain, place.statement)), _shown(_at(tree, place.statement)))
            mutant = Mutant(function=place.function, before=before, after=after, tree=tree)
            if before != after:
                found.setdefault(_numbered(mutant.name, found) if mutant.name in found else mutant.name, mutant)
    return [
        Mutant(
            function=m.function,
            before=m.before,
            after=name.removeprefix(f"{m.function}: {m.before}  ->  "),
            tree=m.tree,
        )
        for name, m in found.items()
    ]


def _numbered(name: str, known: dict[str, Mutant]) -> str:
    number = 2
    while f"{name}  #{number}" in known:
        number += 1
    return f"{name}  #{number}"


Path = tuple[tuple[str, int | None], ...]
"""From the module to a node: (field, index in it)."""


@dataclass(frozen=True)
class _Place:
    function: str
    statement: Path
    path: Path


def _places(module: ast.Module) -> Iterator[_Place]:
    def walk(node: ast.AST, path: Path, function: str, statement: Path, inside: bool) -> Iterator[_Place]:
        if isinstance(node, ast.Raise) or _is_docstring(node):
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = f"{function}.{node.name}".removeprefix("module.")
            inside = True
        elif isinstance(node, ast.ClassDef):
            function = f"{function}.{node.name}".removeprefix("module.")
            inside = False
        if isinstance(node, ast.stmt):
            statement = path
        if inside or _is_number(node, function):
            yield _Place(function, statement, path)
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "bases", "keywords") and not isinstance(
                node, ast.Call
            ):
                continue
            if isinstance(node, ast.AnnAssign) and field == "target":
                continue
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and field == "args":
                continue  # defaults: what callers leave out
            if isinstance(node, ast.keyword) and node.arg == "strict":
                continue  # a check of lengths that are equal by construction
            for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(child, ast.AST):
                    yield from walk(child, (*path, (field, index)), function, statement, inside)

    for index, statement in enumerate(module.body):
        constant = isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Constant)
        if constant or isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            here: Path = (("body", index),)
            yield from walk(statement, here, "module", here, inside=False)


def _is_number(node: ast.AST, function: str) -> bool:
    """A constant of the module."""
    return function == "module" and isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _changes(node: ast.AST) -> list[ast.AST | None]:
    """What may stand in a node's place."""
    found: list[ast.AST | None] = []
    match node:
        case ast.Compare(ops=[first, *rest]):
            for other in _SWAPPED[type(first)]:
                found.append(_with(node, ops=[other(), *rest]))
            for number, later in enumerate(rest):
                for other in _SWAPPED[type(later)]:
                    found.append(_with(node, ops=[first, *rest[:number], other(), *rest[number + 1 :]]))
        case ast.BinOp(op=op):
            found += [_with(node, op=other()) for other in _SWAPPED.get(type(op), ())]
            if isinstance(op, ast.Sub | ast.Div):
                found.append(_with(node, left=node.right, right=node.left))
        case ast.AugAssign(op=op):
            found += [_with(node, op=other()) for other in _SWAPPED.get(type(op), ())]
            found.append(ast.Pass())
        case ast.BoolOp(op=op, values=values):
            found += [_with(node, op=other()) for other in _SWAPPED[type(op)]]
            found += [
                _with(node, values=[*values[:i], *values[i + 1 :]]) for i in range(len(values)) if len(values) > 2
            ]
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            found.append(operand)
        case ast.Constant(value=bool(value)):
            found.append(ast.Constant(not value))
        case ast.Constant(value=int(value)):
            found += [ast.Constant(value + 1), ast.Constant(value - 1)]
        case ast.Constant(value=float(value)):
            found += [ast.Constant(value + 1.0), ast.Constant(value / 2 if value else -1.0)]
        case ast.Constant(value=str(value)) if value.isidentifier():
            found.append(ast.Constant(f"{value}_"))
        case ast.IfExp(body=body, orelse=orelse):
            found.append(_with(node, body=orelse, orelse=body))
        case ast.If():
            found += [_with(node, test=ast.Constant(False)), _with(node, test=ast.Constant(True))]
        case ast.While():
            found.append(_with(node, test=ast.Constant(False)))
        case ast.comprehension(ifs=[_, *_]):
            found.append(_with(node, ifs=[]))
        case ast.Return(value=ast.expr() as value):
            if not (isinstance(value, ast.Constant) and value.value is None):
                found.append(_with(node, value=ast.Constant(None)))
            if isinstance(value, ast.BinOp):
                found.append(_with(node, value=ast.UnaryOp(ast.USub(), value)))
        case ast.Lambda(body=ast.Tuple(elts=[*most, last])) if most:
            # A sort key without its tie-break, and with it the other way round.
            found += [
                _with(node, body=_with(node.body, elts=elts)) for elts in (most, [*most, ast.UnaryOp(ast.USub(), last)])
            ]
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Break() | ast.Continue():
            found.append(ast.Pass())
        case ast.Slice(lower=lower, upper=upper):
            if lower is not None:
                found.append(_with(node, lower=ast.BinOp(lower, ast.Add(), ast.Constant(1))))
            if upper is not None:
                found.append(_with(node, upper=ast.BinOp(upper, ast.Sub(), ast.Constant(1))))
        case ast.Call(func=ast.Name(id="abs"), args=[whole]):
            found.append(whole)
        case ast.Call(func=func, args=[first, second, *rest]) if not isinstance(first, ast.Starred | ast.GeneratorExp):
            name = func.attr if isinstance(func, ast.Attribute) else ast.unparse(func)
            alike = name in _SYMMETRIC or ast.dump(first) == ast.dump(second)
            if not alike and not isinstance(second, ast.Starred):
                found.append(_with(node, args=[second, first, *rest]))
            found += _renamed(node, func)
        case ast.Call(func=func):
            found += _renamed(node, func)
    return found


def _renamed(node: ast.Call, func: ast.expr) -> list[ast.AST | None]:
    match func:
        case ast.Name(id=name) if name in _OTHER_NAMES and name not in ("sum", "mean"):
            return [_with(node, func=ast.Name(_OTHER_NAMES[name], ast.Load()))]
        case ast.Attribute(attr=name) if name in _OTHER_NAMES:
            return [_with(node, func=_with(func, attr=_OTHER_NAMES[name]))]
    return []


def _with(node: ast.AST, **fields: object) -> ast.AST:
    # The parts are shared with the tree that the change is for, which is nobody else's.
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _at(tree: ast.AST, path: Path) -> ast.AST:
    node = tree
    for field, index in path:
        value = getattr(node, field)
        node = value if index is None else value[index]
    return node


def _put(tree: ast.AST, path: Path, new: ast.AST | None) -> None:
    parent = _at(tree, path[:-1])
    field, index = path[-1]
    if index is None:
        setattr(parent, field, new)
    else:
        getattr(parent, field)[index] = new


def _shown(node: ast.AST) -> str:
    """A statement on one line; of one that holds others its head alone."""
    head = copy.copy(node)
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        if isinstance(getattr(head, field, None), list) and not isinstance(head, ast.Lambda):
            setattr(head, field, [ast.Pass()] if field == "body" else [])
    if isinstance(head, ast.FunctionDef | ast.AsyncFunctionDef):
        head = _with(head, decorator_list=[])
    return " ".join(ast.unparse(ast.fix_missing_locations(head)).removesuffix("pass").split())


def _cut(before: str, after: str) -> tuple[str, str]:
    """Two long statements without most of what they have in common."""
    if len(before) <= _LONG:
        return before, after
    same = _shared(before, after)
    head = max(0, same - _AROUND)
    rest = _shared(before[same:][::-1], after[same:][::-1])
    tail = max(0, rest - _AROUND)
    start, end = ("... " if head else ""), (" ..." if tail else "")
    return (
        f"{start}{before[head : len(before) - tail]}{end}",
        f"{start}{after[head : len(after) - tail]}{end}",
    )


def _shared(one: str, other: str) -> int:
    """Length of the beginning that two texts have in common."""
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in alike)
