from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import zipfile
import zlib
from collections import OrderedDict, defaultdict
from typing import Any

import pytest
import torch
from torch import Tensor

from compressai_vq.inert_pickle import Inert, read_inert


def read_pickle(data: bytes, find: Any) -> dict[str, Tensor]:
    """Read a torch file with this pickle in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", data)
    return read_inert(file, find)


def unpickle(value: object) -> Any:
    found: list[Any] = []

    def find(root: Any) -> dict[str, Any]:
        found.append(root)
        return {}

    read_pickle(pickle.dumps(value, protocol=2), find)
    return found[0]


def test_plain_values_are_kept() -> None:
    value = {"a": [1, 2.5, None, True, "text"], "b": {"c": (1, 2), 3: 1 << 80}}
    assert unpickle(value) == value


def test_tensors_of_each_type_and_layout() -> None:
    values = {
        "single": torch.rand(3, 4),
        "double": torch.rand(2, dtype=torch.float64),
        "half": torch.rand(2, 2).half(),
        "bfloat16": torch.rand(5).bfloat16(),
        "integers": torch.arange(7),
        "transposed": torch.rand(3, 4).t(),
        "part": torch.rand(10, 10)[2:5, 3:9],
        "scalar": torch.tensor(3.0),
        "parameter": torch.nn.Parameter(torch.rand(3)),
    }
    file = io.BytesIO()
    torch.save(values, file)
    found = read_inert(file, dict)
    assert found.keys() == values.keys()
    for name, value in found.items():
        assert value.dtype == values[name].dtype
        assert value.is_contiguous()
        assert torch.equal(value, values[name])


def test_every_class_is_inert() -> None:
    items = OrderedDict(a=1), defaultdict(list, b=[2]), {frozenset((1, 2)), range(3)}
    found = unpickle(items)
    assert all(isinstance(value, Inert) for value in found)
    assert found[0].origin == ("collections", "OrderedDict")
    assert dict(found[0]) == {"a": 1}
    assert dict(found[1]) == {"b": [2]}


def test_nothing_is_left_behind_by_what_a_pickle_sets() -> None:
    before = dict(vars(Inert))
    # BUILD on a class, not on an object of it: (None, {"origin": 1}) are attributes to set.
    data = b"\x80\x02ccollections\nOrderedDict\nN}X\x06\x00\x00\x00originK\x01s\x86b."
    with pytest.raises(pickle.UnpicklingError, match="no object"):
        read_pickle(data, lambda root: {})
    assert dict(vars(Inert)) == before
    assert not hasattr(OrderedDict, "origin")


def test_a_memo_index_takes_no_memory() -> None:
    data = b"\x80\x02}r\xff\xff\xff\x7f."  # LONG_BINPUT 2147483647
    tracemalloc.start()
    assert read_pickle(data, lambda root: {}) == {}
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02\x82\x01.",  # an extension code
        b"\x80\x02K\x01Q.",  # a reference to no storage
        b"\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # 2 ** 63 bytes
        b"\x80\x02)R.",  # a call on an empty stack
        b"",
    ],
)
def test_damaged_pickles(data: bytes) -> None:
    with pytest.raises(Exception):  # noqa: B017  of any kind
        read_pickle(data, lambda root: {})


def test_compressed_entries_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
    with pytest.raises(ValueError, match="compressed"):
        read_inert(file, lambda root: {})


def test_tensors_of_other_types_matter_only_when_wanted() -> None:
    file = io.BytesIO()
    torch.save({"a": torch.ones(2), "b": torch.ones(2, dtype=torch.complex64)}, file)
    found = read_inert(file, lambda root: {"a": root["a"]})
    assert torch.equal(found["a"], torch.ones(2))
    with pytest.raises(ValueError, match="not read"):
        read_inert(file, dict)


@pytest.mark.parametrize(
    "arguments",
    [
        (0, (7,), (1,)),
        (1, (6,), (1,)),
        (-1, (2,), (1,)),
        (0, (2, 3), (3,)),
        (0, (1 << 40,), (0,)),
        (0, (3, 3), (1, 1)),
        (0, (0,), (1,)),
        (0, (2.0,), (1,)),
    ],
)
def test_tensors_that_do_not_fit_their_storage(arguments: tuple[Any, ...]) -> None:
    file = io.BytesIO()
    torch.save({"a": torch.ones(6)}, file)

    def find(root: Any) -> dict[str, Any]:
        record = root["a"]
        record.arguments = (record.arguments[0], *arguments)
        return root

    with pytest.raises(ValueError):
        read_inert(file, find)


def test_a_byte_array_takes_no_memory_before_its_bytes_are_there() -> None:
    data = b"\x80\x05\x96" + (1 << 28).to_bytes(8, "little")  # BYTEARRAY8 of 256 MiB
    tracemalloc.start()
    with pytest.raises(KeyError):
        read_pickle(data, lambda root: {})
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_names_are_classes_once_and_not_too_many() -> None:
    one = b"ca\nb\n"

    def find(root: Any) -> dict[str, Any]:
        assert root[0] is root[1]
        return {}

    read_pickle(b"\x80\x02" + one + one + b"\x86.", find)
    many = b"".join(f"ca\n{n}\n0".encode() for n in range(10_001))
    with pytest.raises(pickle.UnpicklingError, match="too many classes"):
        read_pickle(b"\x80\x02" + many + b"}.", lambda root: {})


@pytest.mark.parametrize("zipped", [False, True])
def test_tensors_that_share_a_storage_many_times_are_refused(zipped: bool) -> None:
    values = torch.rand(100_000)
    file = io.BytesIO()
    torch.save({f"{n}": values for n in range(100)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="share a storage"):
        read_inert(file, dict)
    found = read_inert(file, lambda root: {"5": root["5"], "7": root["7"]})
    assert torch.equal(found["5"], values) and torch.equal(found["7"], values)


# A tuple of twice the one before, 60 times over: to hash it would take 2 ** 60 steps.
TWICE = b"N" + b"2\x86" * 60


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02}" + TWICE + b"K\x01s.",  # {key: 1}, item by item
        b"\x80\x02}(" + TWICE + b"K\x01u.",  # and in one step
        b"\x80\x02(" + TWICE + b"K\x01d.",  # from a mark
        b"\x80\x04\x8f(" + TWICE + b"\x90.",  # a set
        b"\x80\x04(" + TWICE + b"\x91.",  # a frozen one
        b"\x80\x02ccollections\nOrderedDict\n)R" + TWICE + b"K\x01s.",
        b"\x80\x02}\x8a\x09" + b"\x01" * 9 + b"Ns.",  # of 65 bits
    ],
)
def test_keys_that_could_not_be_hashed_in_time_are_refused(data: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match="keys"):
        read_pickle(data, lambda root: {})


def test_keys_that_could_not_be_hashed_in_time_in_the_legacy_format() -> None:
    values: list[Any] = [0x1950A86A20F9469CFC6C, 1001, {}, {}]
    parts = [pickle.dumps(value, protocol=2) for value in values]
    file = io.BytesIO(b"".join(parts) + b"\x80\x02](" + TWICE + b"e." + bytes(8))
    with pytest.raises(pickle.UnpicklingError, match="keys"):
        read_inert(file, dict)


def test_keys_that_checkpoints_do_have() -> None:
    found = unpickle({0: "a", ("b", 1): 2.5, None: [], "c": {True: 3}, OrderedDict: "d"})
    assert list(found.values()) == ["a", 2.5, [], {True: 3}, "d"]
    assert found["b", 1] == 2.5


def test_a_call_takes_no_more_arguments_than_checkpoints_have() -> None:
    many = b"(" + b"N" * 1000 + b"t"
    with pytest.raises(pickle.UnpicklingError, match="too many arguments"):
        read_pickle(b"\x80\x02ca\nb\n" + many + b"R.", lambda root: {})


def test_keyword_arguments_are_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match="keyword arguments"):
        read_pickle(b"\x80\x04ca\nb\n)}\x8c\x01kNs\x92.", lambda root: {})
    # Objects of protocol 4 without any are read.
    read_pickle(b"\x80\x04ca\nb\n)}\x920}.", lambda root: {})


def test_only_objects_are_built() -> None:
    storage = b"(\x8c\x07storagecm\nFloatStorage\n\x8c\x010\x8c\x03cpuK\x01tQ"
    for thing in (storage, b"N", b"]", b"ca\nb\n"):
        with pytest.raises(pickle.UnpicklingError, match="no object"):
            read_pickle(
                b"\x80\x04" + thing + b"}\x8c\x05countJ\xff\xff\xff\x7fsb.", lambda root: {}
            )


def test_a_pickle_too_large_for_a_checkpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="pickle is too large"):
        read_pickle(b"\x80\x02" + b"}0" * (1 << 21) + b"}.", lambda root: {})


def test_parts_of_one_storage_are_read_with_it() -> None:
    values = torch.rand(50, 40)
    file = io.BytesIO()
    torch.save({f"row {n}": values[n] for n in range(50)} | {"other": torch.ones(2)}, file)
    reads = []
    read = zipfile.ZipFile.read

    def counting(archive: zipfile.ZipFile, name: Any, *rest: Any) -> bytes:
        reads.append(name)
        return read(archive, name, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "read", counting)
        found = read_inert(file, dict)
    assert list(found) == [*(f"row {n}" for n in range(50)), "other"]
    assert all(torch.equal(found[f"row {n}"], values[n]) for n in range(50))
    assert len([name for name in reads if "/data/" in name]) == 2


def test_more_tensors_or_dimensions_than_checkpoints_have() -> None:
    file = io.BytesIO()
    torch.save({"a": torch.ones(6), "b": torch.ones([1] * 9)}, file)
    with pytest.raises(ValueError, match="b has too many dimensions"):
        read_inert(file, dict)
    with pytest.raises(ValueError, match="too many tensors"):
        read_inert(file, lambda root: {str(n): root["a"] for n in range(10_001)})


def test_storages_that_lie_within_others_are_refused() -> None:
    numbers = torch.rand(10_000).numpy().tobytes()
    names = [f"archive/data/{n}".encode() for n in range(2)]

    def header(name: bytes, data: bytes) -> bytes:
        common = (zlib.crc32(data), len(data), len(data), len(name), 0)
        return struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, *common) + name

    within = header(names[1], numbers) + numbers  # what the first storage consists of
    parts = [(names[0], within), (names[1], numbers)]
    file, written = io.BytesIO(), io.BytesIO()
    torch.save({f"{n}": torch.rand(len(data) // 4) for n, (_, data) in enumerate(parts)}, written)
    with zipfile.ZipFile(written) as honest, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", honest.read("archive/data.pkl"))
        archive.writestr(names[0].decode(), within)
        inner = zipfile.ZipInfo(names[1].decode())
        inner.CRC, inner.file_size = zlib.crc32(numbers), len(numbers)
        inner.compress_size = len(numbers)
        first = archive.getinfo(names[0].decode())
        inner.header_offset = first.header_offset + len(header(*parts[0]))
        archive.filelist.append(inner)
        archive.NameToInfo[inner.filename] = inner
    # Later versions of Python refuse such archives themselves.
    with pytest.raises((ValueError, zipfile.BadZipFile), match=r"(?i)overlap"):
        read_inert(file, dict)
