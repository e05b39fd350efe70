"""A restricted unpickler that builds tensors and runs no code from the file.

A pickle is a program. This unpickler never imports its classes: they become inert objects that keep
their state, so that a pickled module still yields its parameters. It refuses, by name, every call
that is not known to be harmless.
"""

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

_HARMLESS = (
    "torch.",
    "torch_geometric.",
    "numpy.",
    "typing.",
    "inspect.",
    "omegaconf.",
    "lightning.",
    "lightning_fabric.",
    "lightning_utilities.",
    "pytorch_lightning.",
    "pathlib.",
    "argparse.Namespace",
    "collections.",
    "datetime.",
    "builtins.bytearray",
    "builtins.complex",
    "builtins.object",
    "builtins.range",
    "builtins.slice",
    "functools.partial",
    "operator.getitem",
    "builtins.type",
)
"""Prefixes of calls that checkpoints of modules contain; they too yield inert objects."""

_MOST_VALUES = 100_000
"""Values of a checkpoint, tensors among them; the largest network here has some thousands."""

_NUMBERING = ("PUT", "BINPUT", "LONG_BINPUT")
"""Calls by which a pickle numbers the objects that it uses again."""

_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Today's names of modules that pickles of protocol 2 call by their Python 2 names."""

_STORAGE_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class RefusedCallError(Exception):
    """A pickle calls something not known to be harmless; the argument is its name."""


class _InertType(type):
    """Metaclass of inert classes: calling one runs nothing, and is refused unless harmless."""

    called: str

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls.called.startswith(_HARMLESS):
            return _instance(cls)
        raise RefusedCallError(cls.called)


class _Inert(metaclass=_InertType):
    """Placeholder of an object whose class is not imported; it keeps only the object's state."""

    called = ""
    state: Any

    def __new__(cls, *_: Any, **__: Any) -> "_Inert":
        instance = object.__new__(cls)
        instance.state = {}
        return instance

    def __setstate__(self, state: Any) -> None:
        self.state = state[0] if isinstance(state, tuple) and state else state

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Ignore the value: lists hold no named parameters."""

    def extend(self, values: Any) -> None:
        """Ignore the values, as `append` does."""


class _State(dict[Any, Any]):
    """A dictionary that drops the attributes a pickle sets on it (state dicts have versions)."""

    def __setstate__(self, state: Any) -> None:
        pass


def _tensor(storage: tuple[Any, torch.dtype], offset: int, size: Any, stride: Any, *_: Any) -> Any:
    bytes_, dtype = storage
    tensor: Any = torch.empty(0, dtype=dtype)
    return tensor.set_(bytes_, offset, tuple(size), tuple(stride))


def _tensor_of_dtype(
    storage: tuple[Any, Any],
    offset: int,
    size: Any,
    stride: Any,
    _: Any,
    __: Any,
    dtype: Any,
    *___: Any,
) -> Any:
    """Build a tensor of a storage without a dtype; the call names it (torch's newer dtypes)."""
    return _tensor((storage[0], dtype), offset, size, stride)


def _encoded(text: str, *_: Any) -> bytes:
    """Return the bytes that a pickle of protocol 2 stores as text, as NumPy's numbers do."""
    return text.encode("latin-1")


def _first(value: Any, *_: Any) -> Any:
    return value


def _instance(kind: Any, *_: Any) -> "_Inert":
    instance: _Inert = kind.__new__(kind)
    return instance


_BUILDERS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "collections.OrderedDict": _State,
    "collections.defaultdict": lambda *_: _State(),
    "copyreg._reconstructor": _instance,
    "collections.Counter": lambda *_: _State(),
    "_codecs.encode": _encoded,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
}


class TensorUnpickler(pickle.Unpickler):
    """Unpickler that builds tensors, containers and inert objects.

    `storage` returns the bytes of the storage with a given key.
    """

    def __init__(self, file: io.BytesIO, storage: Callable[[str], Any]) -> None:
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """Return the replacement of a global that the pickle names; nothing is imported."""
        called = f"{_PYTHON_2.get(module, module)}.{name}"
        if called in _BUILDERS:
            return _BUILDERS[called]
        if module == "torch" and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        dtype = getattr(torch, name, None) if module == "torch" else None
        if isinstance(dtype, torch.dtype):
            return dtype
        return _InertType(name, (_Inert,), {"called": called})

    def persistent_load(self, pid: Any) -> tuple[Any, Any]:
        """Return the bytes and the dtype of a storage; an untyped one gives its inert class."""
        _, dtype, key, *_ = pid
        return self._storage(str(key)), dtype


def require_small_memo(content: bytes) -> None:
    """Raise ValueError where a pickle numbers an object higher than its bytes can hold objects.

    Python reserves a table up to that number, or the length that a pickle states of a text.
    """
    for opcode, argument, place in pickletools.genops(content):
        if isinstance(argument, int) and opcode.name in _NUMBERING and argument > len(content):
            raise ValueError(f"object {argument} at byte {place} of {len(content)}")


def named_tensors(root: Any) -> dict[str, Tensor]:
    """Return the tensors of a state dict or of an inert module tree by qualified name.

    Raises ValueError for more values than a network has, as shared dictionaries can give.
    """
    if isinstance(root, Mapping) and isinstance(root.get("state_dict"), Mapping):
        root = root["state_dict"]
    tensors: dict[str, Tensor] = {}
    _collect(root, "", tensors, (), [_MOST_VALUES])
    return tensors


def _collect(
    value: Any, name: str, tensors: dict[str, Tensor], above: tuple[int, ...], left: list[int]
) -> None:
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"more than {_MOST_VALUES} values, by dictionaries of dictionaries")
    if isinstance(value, Tensor):
        tensors[name] = value.detach()
        return
    members = _members(value)
    if id(value) in above:
        return
    for key, member in members.items():
        of_member = f"{name}.{key}" if name else str(key)
        _collect(member, of_member, tensors, (*above, id(value)), left)


def _members(value: Any) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    state = value.state if isinstance(value, _Inert) else None
    if not isinstance(state, Mapping):
        return {}
    if "_parameters" not in state:
        return dict(state)  # a scripted module: its tensors are plain attributes
    unsaved = state.get("_non_persistent_buffers_set") or ()
    buffers = {k: v for k, v in (state.get("_buffers") or {}).items() if k not in unsaved}
    return {**(state["_parameters"] or {}), **buffers, **(state.get("_modules") or {})}
