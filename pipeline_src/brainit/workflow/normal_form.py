"""Reduce a syntax tree to the parts that decide bytes, for the digest of the code.

Dropped: docstrings and other bare strings, annotations, log messages, progress lines, labels of
trainings, help texts, the words of errors and assertions, and local variables that only such words
read.
"""

import ast
import builtins
from collections.abc import Collection, Iterable, Mapping

_PROGRESS = "brainit.core.progress.progress"
_PIPELINE_ERROR = "brainit.core.errors.PipelineError"
_CAST = "typing.cast"
_HELP_WORDS = {"help", "description", "metavar", "epilog"}
_HELP_CALLS = {"add_argument", "add_argument_group", "add_parser", "ArgumentParser", "step_parser"}
_LABELLED = {"fit", "train_stage1", "fit_voxel_embeddings"}
"""Functions whose `label` names a training in the log."""
_UNSTABLE = {"ctx", "kind", "type_comment", "type_ignores"}
"""Fields of a tree that follow from the rest, or that Python does not run."""
_LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
_TYPED_BASES = {"NamedTuple", "TypedDict", "BaseModel", "RootModel"}
# fmt: off
_READING = {
    "len", "str", "int", "float", "round", "sum", "min", "max", "sorted", "repr", "list",
    "tuple", "join", "format", "items", "keys", "values", "mean", "item", "tolist", "count",
    "strftime",
}
# fmt: on
"""Calls that change nothing, so that a message may make them."""


def normal_form(tree: ast.Module) -> ast.Module:
    """Return the tree, changed in place, without the parts that never decide bytes."""
    _Words(_imported(tree)).visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            _drop_unread_words(node)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and len(body) > 1:
            node.body = [part for part in body if not isinstance(part, ast.Pass)] or body[:1]  # type: ignore[attr-defined]
    return tree


def shown(node: ast.AST) -> str:
    """Return a tree as text, the same in all versions of Python that read the same tree."""
    fields = [
        f"{name}={_shown_value(value)}"
        for name, value in ast.iter_fields(node)
        if name not in _UNSTABLE and value != []
        if value is not None or isinstance(node, (ast.Constant, ast.MatchSingleton))
    ]
    return f"{type(node).__name__}({', '.join(fields)})"


def _shown_value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_shown_value(part) for part in value)}]"
    return shown(value) if isinstance(value, ast.AST) else repr(value)


def without_arguments(tree: ast.Module, names: Collection[str]) -> ast.Module:
    """Return the tree, changed in place: calls of its functions and dataclasses lose arguments."""
    parameters = {}
    for stmt in tree.body:
        if isinstance(stmt, ast.FunctionDef):
            parameters[stmt.name] = [arg.arg for arg in stmt.args.args]
        elif isinstance(stmt, ast.ClassDef):
            fields = [part.target for part in stmt.body if isinstance(part, ast.AnnAssign)]
            parameters[stmt.name] = [part.id for part in fields if isinstance(part, ast.Name)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) in parameters:
            known = parameters[called(node)]
            for k, name in enumerate(known[: len(node.args)]):
                node.args[k] = ast.Constant("") if name in names else node.args[k]
            node.keywords = [word for word in node.keywords if word.arg not in names]
    return tree


def _imported(tree: ast.Module) -> dict[str, str]:
    """Return the full names of the names that a module imports from others."""
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {
        word.asname or word.name: f"{node.module}.{word.name}"
        for node in imports
        for word in node.names
    }


def names_loaded(node: ast.AST) -> set[str]:
    """Return the names that a node reads."""
    names = (part for part in ast.walk(node) if isinstance(part, ast.Name))
    return {part.id for part in names if isinstance(part.ctx, ast.Load)}


def called(node: ast.expr) -> str:
    """Return the last name of the called function: `b` for `b(...)` and `a.b(...)`, else ""."""
    if isinstance(node, ast.Call):
        node = node.func
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


class _Words(ast.NodeTransformer):
    """Drops words and annotations; empty bodies become `pass`."""

    def __init__(self, imported: Mapping[str, str]) -> None:
        self._imported = imported

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list) and not body and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.AST] | None:
        if isinstance(node.value, ast.Constant):
            return None
        if isinstance(node.value, ast.Call) and _is_log(node.value.func):
            arguments = [*node.value.args, *(word.value for word in node.value.keywords)]
            return [ast.Expr(self.visit(value)) for value in arguments if not _only_reads(value)]
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if called(node.test) == "TYPE_CHECKING":
            return [part for stmt in node.orelse for part in _listed(self.visit(stmt))]
        return self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        node.msg = None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        node.cause = None
        self.generic_visit(node)
        if isinstance(node.exc, ast.Call):
            if _is_builtin_error(called(node.exc)):
                node.exc.args = [arg for arg in node.exc.args if not _only_reads(arg)]
            node.exc.args = [ast.Constant("") if _is_text(arg) else arg for arg in node.exc.args]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = called(node)
        full = self._imported.get(name) if isinstance(node.func, ast.Name) else None
        node.keywords = [
            word for word in node.keywords if word.arg != "fix" or not _only_reads(word.value)
        ]
        if full == _PIPELINE_ERROR:
            node.args = []
            node.keywords = [word for word in node.keywords if word.arg == "code"]
        elif full == _PROGRESS and node.args:
            return self.visit(node.args[0])
        elif full == _CAST and len(node.args) == 2:
            return self.visit(node.args[1])
        elif name in _HELP_CALLS:
            node.keywords = [word for word in node.keywords if word.arg not in _HELP_WORDS]
        elif name in _LABELLED and isinstance(node.func, ast.Name):
            node.keywords = [
                word for word in node.keywords if word.arg != "label" or not _only_reads(word.value)
            ]
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Keep the annotations of dataclasses' fields: flags are parsed by them."""
        is_typed = any(called(word) == "dataclass" for word in node.decorator_list)
        is_typed |= any(called(base) in _TYPED_BASES for base in node.bases)
        fields = [stmt for stmt in node.body if isinstance(stmt, ast.AnnAssign) and is_typed]
        for field in fields:
            field.simple = 2  # marks it for visit_AnnAssign; ast.dump then shows it for all alike
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.simple == 2:
            node.annotation = _without_axes(node.annotation)
            node.value = self.visit(node.value) if node.value else None
            return node
        if node.value is None:
            return None
        return self.visit(ast.Assign([node.target], node.value, lineno=0))


def _listed(visited: ast.AST | list[ast.AST] | None) -> list[ast.stmt]:
    if visited is None:
        return []
    nodes = visited if isinstance(visited, list) else [visited]
    return [node for node in nodes if isinstance(node, ast.stmt)]


def _is_builtin_error(name: str) -> bool:
    """Return True if this is `ValueError` or similar; others may carry values to their catcher."""
    kind = getattr(builtins, name, None)
    is_error = isinstance(kind, type) and issubclass(kind, Exception)
    return is_error and name not in ("StopIteration", "StopAsyncIteration")


def _is_log(function: ast.expr) -> bool:
    """Return True if this is `logger.info`, `logging.info`, `warnings.warn` or similar."""
    if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
        return False
    owner, method = function.value.id, function.attr
    is_logger = owner in ("logger", "logging") and method in _LOG_METHODS
    return is_logger or (owner, method) == ("warnings", "warn")


def _only_reads(value: ast.expr) -> bool:
    """Return True if computing an argument of a message changes nothing."""
    changing = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)
    for node in ast.walk(value):
        if isinstance(node, changing) or (
            isinstance(node, ast.Call) and called(node) not in _READING
        ):
            return False
    return True


def _is_text(value: ast.expr) -> bool:
    """Return True if this is text: a string, an f-string, or a sum or choice of them."""
    if isinstance(value, ast.Constant):
        return isinstance(value.value, str)
    if isinstance(value, ast.BinOp):
        return isinstance(value.op, (ast.Add, ast.Mod)) and _is_text(value.left)
    if isinstance(value, ast.IfExp):
        return _is_text(value.body) and _is_text(value.orelse)
    return isinstance(value, ast.JoinedStr)


def _without_axes(annotation: ast.expr) -> ast.expr:
    """Return `Float` for jaxtyping's `Float[Tensor, "axes"]`, any other annotation as it is."""
    parts = ast.walk(annotation.slice) if isinstance(annotation, ast.Subscript) else ()
    if any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in parts):
        assert isinstance(annotation, ast.Subscript)
        return annotation.value if called(annotation.value) != "Literal" else annotation
    return annotation


def _drop_unread_words(function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Drop assignments of texts to variables that nothing reads once errors have no words."""
    while True:
        read = names_loaded(function)
        if not _Unread(read).drop_from(function):
            return


class _Unread(ast.NodeTransformer):
    def __init__(self, read: Iterable[str]) -> None:
        self.read, self.is_changed = set(read), False

    def drop_from(self, function: ast.AST) -> bool:
        self.visit(function)
        return self.is_changed

    def visit_Global(self, node: ast.Global) -> ast.AST:
        self.read |= set(node.names)
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        self.read |= set(node.names)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node  # attributes of a class are read by other ways

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        names = {getattr(target, "id", "") for target in node.targets}
        if "" in names or names & self.read or not _is_text(node.value):
            return node
        if not _only_reads(node.value):
            return node
        self.is_changed = True
        return ast.Pass()
