"""Python files by what they do: digests that comments, layout and docstrings do not change.

A tree is written out by its node types and values, without positions and without empty fields, so that Python versions
whose syntax trees differ in a new empty field give one digest.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path


def digest(value: object) -> str:
    """SHA-256 of a value's ``repr``: for strings and tuples of strings."""
    return hashlib.sha256(repr(value).encode("utf-8", "surrogatepass")).hexdigest()


def tree_digest(path: Path) -> str:
    """SHA-256 of a file's syntax tree without docstrings."""
    return digest(_written(ast.parse(path.read_bytes())))


def literals(path: Path) -> dict[str, str]:
    """Definition at the top of a file -> SHA-256 of the strings in it, in order; definitions without one are left out.

    Docstrings are no part of it, nor are the sentences of errors that it raises.
    """
    found: dict[str, list[str]] = {}
    for statement in ast.parse(path.read_bytes()).body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        strings = list(_strings(statement))
        if strings:
            found.setdefault(_name(statement), []).extend(strings)
    return {name: digest(tuple(strings)) for name, strings in found.items()}


def calls(path: Path, name: str) -> bool:
    """Whether a file calls a function by this name, plain or as a module's."""
    source = path.read_bytes()
    if name.encode() not in source:
        return False
    found = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return any(
        (called.id if isinstance(called, ast.Name) else called.attr) == name
        for called in found
        if isinstance(called, ast.Name | ast.Attribute)
    )


def _is_docstring(node: ast.AST) -> bool:
    # Also the strings below the fields of a struct.
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _written(node: object) -> str:
    if isinstance(node, list):
        return "[" + ",".join(_written(one) for one in node if not _is_docstring(one)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
    return f"{type(node).__name__}({','.join(f'{name}={_written(value)}' for name, value in fields)})"


def _strings(node: ast.AST) -> Iterator[str]:
    if _is_docstring(node) or isinstance(node, ast.Raise):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from _strings(child)


def _name(statement: ast.stmt) -> str:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[target, *_]) | ast.AnnAssign(target=target):
            return ast.unparse(target).strip("()")
        case _:
            return "the file"
