"""Tensors out of torch files whose pickles are not trusted.

A checkpoint's pickle names classes and functions, and plain unpickling calls them.  Here
every name becomes an :class:`Inert` record of what would have been called with what, and
nothing is called.  The records of tensors are then read as data: a storage's key, a shape
and strides, for bytes elsewhere in the file::

    pickle --> dicts, lists, numbers, strings, records --> wanted tensors' bytes --> tensors
"""

from __future__ import annotations

import io
import itertools
import math
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import IO, Any, ClassVar

import torch
from torch import Tensor

# What is not tensors takes some kilobytes, but one byte of a pickle may become 200 in memory.
_PICKLE_LIMIT = 1 << 22  # bytes
_MOST_NAMES = 10_000  # of classes and functions; checkpoints have some dozens
_MOST_ARGUMENTS = 100  # of one call, which has its own copy of them, or parts of a key
_MOST_TENSORS = 10_000
_MOST_DIMENSIONS = 8
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_MOST_COPIES = 4  # times the file's size that tensors may have together: a few may be tied
_READERS: dict[int, Any] = pickle._Unpickler.dispatch
_ReadStorage = Callable[[str], bytes]


class Inert(dict):
    """Stands for an object of any class; it keeps what it was given and does nothing.

    It is a dict because pickled subclasses of dict are filled item by item.
    """

    origin = ("", "")  # module and name; of a subclass for each name in a pickle
    arguments: tuple[Any, ...]

    def __new__(cls, *arguments: Any, **_: Any) -> Inert:
        if len(arguments) > _MOST_ARGUMENTS:
            raise pickle.UnpicklingError("it calls something with too many arguments")
        self = super().__new__(cls)
        self.arguments = arguments
        return self

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    # Any object may be a key of a pickled dict or an item of a pickled set.
    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__

    def __setstate__(self, state: Any) -> None:
        """Ignore the state."""

    def append(self, item: Any) -> None:
        """Ignore an item of what was a list."""

    def extend(self, items: Any) -> None:
        """Ignore items of what was a list."""

    def add(self, item: Any) -> None:
        """Ignore an item of what was a set."""


class _Storage:
    """A storage that a pickle refers to."""

    def __init__(self, reference: Any) -> None:
        kind, storage, self.key, _, count, *view = reference
        if kind != "storage" or any(view) or not isinstance(self.key, str):
            raise ValueError("it refers to something that is not a storage")
        if not (isinstance(storage, type) and issubclass(storage, Inert)):
            raise ValueError("a storage has no type")
        if not (isinstance(count, int) and count >= 0):
            raise ValueError("a storage has no valid size")
        self.dtype = _STORAGES.get(storage.origin[1])  # of one that is not wanted, any will do
        self.count = count


# The unpickler written in Python: the one in C makes room for any memo index that a
# hostile file names, up to many gigabytes.
class _InertUnpickler(pickle._Unpickler):
    # Without the byte arrays of protocol 5, whose room is made before their bytes are read.
    dispatch: ClassVar[dict[int, Any]] = {
        code: read for code, read in _READERS.items() if code != pickle.BYTEARRAY8[0]
    }

    stack: list[Any]  # the superclass's: what was pushed since the last mark

    def __init__(self, file: IO[bytes]) -> None:
        # Of checkpoints from Python 2, strings of bytes: any encoding will do that never fails.
        super().__init__(file, encoding="latin1")
        self.storages: list[_Storage] = []
        self._classes: dict[tuple[str, str], type[Inert]] = {}

    def find_class(self, module: str, name: str) -> Any:
        # Of this reading alone, so that nothing a pickle sets on one outlives it.
        origin = (module, name)
        if origin not in self._classes:
            if len(self._classes) == _MOST_NAMES:
                raise pickle.UnpicklingError("it names too many classes")
            self._classes[origin] = type("Inert", (Inert,), {"origin": origin})
        return self._classes[origin]

    def persistent_load(self, pid: Any) -> Any:
        self.storages.append(_Storage(pid))
        return self.storages[-1]

    def get_extension(self, code: int) -> None:
        raise pickle.UnpicklingError("extension codes are not read")

    # Keys and items of sets are hashed.  Of tuples that hold others twice, some dozens deep,
    # that would take for ever.
    def _load_setitem(self) -> None:
        _check_keys(self.stack[-2:-1])
        _READERS[pickle.SETITEM[0]](self)

    def _load_setitems(self) -> None:
        _check_keys(self.stack[::2])
        _READERS[pickle.SETITEMS[0]](self)

    def _load_dict(self) -> None:
        _check_keys(self.stack[::2])
        _READERS[pickle.DICT[0]](self)

    def _load_additems(self) -> None:
        _check_keys(self.stack)
        _READERS[pickle.ADDITEMS[0]](self)

    def _load_frozenset(self) -> None:
        _check_keys(self.stack)
        _READERS[pickle.FROZENSET[0]](self)

    # Keyword arguments are copied for each call, and what an object is built of for each that is
    # no Inert: of one that is large and used again and again, that would take hours.
    def _load_newobj_ex(self) -> None:
        if self.stack[-1]:
            raise pickle.UnpicklingError("it calls something with keyword arguments")
        _READERS[pickle.NEWOBJ_EX[0]](self)

    def _load_build(self) -> None:
        if not isinstance(self.stack[-2], Inert):
            raise pickle.UnpicklingError("it builds something that is no object")
        _READERS[pickle.BUILD[0]](self)

    dispatch[pickle.SETITEM[0]] = _load_setitem
    dispatch[pickle.SETITEMS[0]] = _load_setitems
    dispatch[pickle.DICT[0]] = _load_dict
    dispatch[pickle.ADDITEMS[0]] = _load_additems
    dispatch[pickle.FROZENSET[0]] = _load_frozenset
    dispatch[pickle.NEWOBJ_EX[0]] = _load_newobj_ex
    dispatch[pickle.BUILD[0]] = _load_build


def _check_keys(keys: list[Any]) -> None:
    plain = (str, bytes, int, float, Inert, type, type(None))
    for key in keys:
        parts = key if isinstance(key, tuple) else (key,)
        large = any(isinstance(part, int) and part.bit_length() > 64 for part in parts)
        if (
            large  # its hash is not kept
            or len(parts) > _MOST_ARGUMENTS
            or not all(isinstance(part, plain) for part in parts)
        ):
            raise pickle.UnpicklingError("it has keys that are not plain")


def read_inert(file: IO[bytes], find: Callable[[Any], dict[str, Any]]) -> dict[str, Tensor]:
    """Tensors of a file that ``torch.save`` wrote, zip or legacy; nothing in it is executed.

    Args:
        file: seekable, at its start.
        find: picks the wanted entries out of the unpickled object, in which
            :class:`Inert` records stand for tensors and all other objects.

    Returns:
        The entries of ``find``, as tensors of their own memory.

    Raises:
        Exception: of many kinds, when the file is damaged or of another format.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            root, read = _open_zip(archive)
            return _tensors(find(root), read, size)
    file.seek(0)
    start = file.read(2)
    file.seek(0)
    if start == b"PK":
        raise ValueError("it is cut short")
    if start != b"\x80\x02":
        raise ValueError("it is not a torch file")
    root, read = _open_legacy(file)
    return _tensors(find(root), read, size)


def _tensors(records: dict[str, Any], read: _ReadStorage, size: int) -> dict[str, Tensor]:
    """The tensors of records, from a file of ``size`` bytes."""
    if len(records) > _MOST_TENSORS:
        raise ValueError("it has too many tensors")
    wanted = {name: _Wanted(name, record) for name, record in records.items()}
    # Each storage is read once, however many tensors are parts of it.
    by_storage = sorted(wanted.values(), key=lambda tensor: tensor.storage.key)
    found = {}
    left = _MOST_COPIES * size
    for key, tensors in itertools.groupby(by_storage, key=lambda tensor: tensor.storage.key):
        data = read(key)
        size -= len(data)
        if size < 0:
            raise ValueError("its storages overlap")
        for tensor in tensors:
            left -= tensor.nbytes
            if left < 0:
                raise ValueError("many tensors share a storage")
            found[tensor.name] = tensor.out_of(data)
    return {name: found[name] for name in records}


def _open_zip(archive: zipfile.ZipFile) -> tuple[Any, _ReadStorage]:
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
        # torch compresses none, and these may grow without bounds.
        raise ValueError("its entries are compressed")
    names = archive.namelist()
    (pickled,) = [name for name in names if name.endswith("data.pkl") and name.count("/") <= 1]
    folder = pickled.removesuffix("data.pkl")
    if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
        raise ValueError("its tensors are big-endian")
    if archive.getinfo(pickled).file_size > _PICKLE_LIMIT:
        raise ValueError("its pickle is too large")
    root = _InertUnpickler(io.BytesIO(archive.read(pickled))).load()
    return root, lambda key: archive.read(f"{folder}data/{key}")


def _open_legacy(file: IO[bytes]) -> tuple[Any, _ReadStorage]:
    """Five pickles (magic number, version, platform, object, storage keys), then storages."""
    pickles = io.BytesIO(file.read(_PICKLE_LIMIT))
    if _InertUnpickler(pickles).load() != _LEGACY_MAGIC:
        raise ValueError("it is not a torch file")
    _InertUnpickler(pickles).load()
    _InertUnpickler(pickles).load()
    unpickler = _InertUnpickler(pickles)
    root = unpickler.load()
    keys = _InertUnpickler(pickles).load()
    item_sizes = {s.key: s.dtype.itemsize for s in unpickler.storages if s.dtype}
    _check_keys(keys)
    file.seek(pickles.tell())
    places = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        places[key] = file.tell(), count * item_sizes[key]
        if count < 0:
            raise ValueError("a storage has no valid size")
        file.seek(count * item_sizes[key], io.SEEK_CUR)

    def read(key: str) -> bytes:
        file.seek(places[key][0])
        return file.read(places[key][1])

    return root, read


class _Wanted:
    """A tensor that is to be read: where it lies in which storage."""

    def __init__(self, name: str, record: Any) -> None:
        self.name = name
        origin = getattr(record, "origin", None)
        if origin == ("torch._utils", "_rebuild_parameter"):
            record = record.arguments[0]
            origin = getattr(record, "origin", None)
        if origin != ("torch._utils", "_rebuild_tensor_v2"):
            raise ValueError(f"{name} is not a tensor")
        self.storage, self.offset, self.shape, self.strides = record.arguments[:4]
        if self.storage.dtype is None:
            raise ValueError(f"{name} is of a type that is not read")
        if max(len(self.shape), len(self.strides)) > _MOST_DIMENSIONS:
            raise ValueError(f"{name} has too many dimensions")
        for number in (self.offset, *self.shape, *self.strides):
            if not isinstance(number, int) or not 0 <= number <= self.storage.count:
                raise ValueError(f"{name} does not fit into its storage")
        places = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((n - 1) * stride for n, stride in places)
        numbers = math.prod(self.shape)
        if not 0 < numbers <= self.storage.count or last >= self.storage.count:
            raise ValueError(f"{name} does not fit into its storage")
        self.nbytes = numbers * self.storage.dtype.itemsize

    def out_of(self, data: bytes) -> Tensor:
        """The tensor, in memory of its own, out of its storage's bytes."""
        if len(data) != self.storage.count * self.storage.dtype.itemsize:
            raise ValueError(f"{self.name} has a storage of another size")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the bytes cannot be written to
            values = torch.frombuffer(data, dtype=self.storage.dtype)
        values = values.as_strided(self.shape, self.strides, self.offset)
        return values.clone(memory_format=torch.contiguous_format)
