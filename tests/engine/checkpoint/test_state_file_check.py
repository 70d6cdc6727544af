"""A forged state file asks for no more memory than it has, before torch reads it."""

import io
import os
import pickle
import zipfile

import crash
import pytest
import torch
from checkpoint_processes import GIBI, reads_with_little_memory
from states import state_of_training

from trackside.engine.checkpoint.atomic_directory import hash_file
from trackside.engine.checkpoint.checkpoint_writer import CheckpointStore
from trackside.engine.checkpoint.manifest import Manifest
from trackside.engine.checkpoint.state_file_check import check_state_file


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def zipped(path, records, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in records.items():
            archive.writestr(f"archive/{name}", content)


def pickled(content):
    return pickle.dumps({"state": {"model": {}, "x": content}, "tied": {}}, protocol=2)


def from_pickle(content):
    return lambda path: zipped(path, {"data.pkl": content, "byteorder": "little", "version": "3\n"})


def nested(depth):
    parts = []
    for _ in range(depth):
        parts = [parts]
    return parts


def doubled(times):
    parts = [0]
    for _ in range(times):
        parts = [parts, parts]
    return parts


def expanded(path):
    torch.save({"state": {"x": torch.ones(1).expand(4 * GIBI)}, "tied": {}}, path)


def compressed(path):
    torch.save({"state": {"x": torch.zeros(1 << 24)}, "tied": {}}, path)
    with zipfile.ZipFile(path) as archive:
        records = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    zipped(path, records, zipfile.ZIP_DEFLATED)


def overlapping(path):
    """Many entries in the directory of the archive that share their bytes."""
    zipped(path, {"data.pkl": pickled(1), "data/0": b"\0" * 1000})
    with zipfile.ZipFile(path, "a") as archive:
        shared = archive.getinfo("archive/data/0")
        for number in range(1, 100):
            entry = zipfile.ZipInfo(f"archive/data/{number}")
            entry.header_offset, entry.CRC = shared.header_offset, shared.CRC
            entry.file_size = entry.compress_size = shared.file_size
            archive.filelist.append(entry)
            archive.NameToInfo[entry.filename] = entry
        archive._didModify = True


def other_size(path):
    buffer = io.BytesIO()
    torch.save({"state": {"x": torch.ones(2)}, "tied": {}}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        records = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    zipped(path, records | {"data/0": b"\0" * 12})


def of_opcode(code):
    return from_pickle(b"\x80\x02" + code + b".")


def many_times_hex():
    value = "0" * 100
    for _ in range(30):
        value = Call(__import__("_codecs").encode, value, "hex")
    return value


FORGED = {
    "a buffer of gigabytes": from_pickle(pickled(Call(bytearray, 8 * GIBI))),
    "a tensor of gigabytes": from_pickle(pickled(Call(torch.Tensor, 2 * GIBI))),
    "a storage of gigabytes": from_pickle(pickled(Call(torch.FloatStorage, 2 * GIBI))),
    "bytes encoded again and again": from_pickle(pickled(many_times_hex())),
    "an expanded tensor": expanded,
    "a compressed record": compressed,
    "overlapping records": overlapping,
    "a storage of another size": other_size,
    "nested too deep": from_pickle(pickled(nested(200))),
    "lists of lists of the same list": from_pickle(pickled(doubled(40))),
    "a long bytes object": of_opcode(b"\x8e" + (1 << 40).to_bytes(8, "little")),
    "a long bytearray": of_opcode(b"\x96" + (8 * GIBI).to_bytes(8, "little")),
    "an object of a class": from_pickle(pickled(Call(print, "called"))),
    "a set": from_pickle(pickled({1, 2})),
    "no archive": lambda path: path.write_bytes(b"nonsense"),
    "a legacy file": lambda path: torch.save(
        {"state": {}, "tied": {}}, path, _use_new_zipfile_serialization=False
    ),
    "an archive without a pickle": lambda path: zipped(path, {"version": "3"}),
    "two pickles": lambda path: zipped(path, {"data.pkl": pickled(1), "b/data.pkl": pickled(1)}),
}
REFUSALS = {
    "a buffer of gigabytes": "bytearray is not plain data",
    "a tensor of gigabytes": "torch.Tensor is not plain data",
    "a storage of gigabytes": "object is not callable",
    "bytes encoded again and again": "bytes are encoded as hex",
    "an expanded tensor": "its tensors are larger than the file",
    "a compressed record": "a record is compressed",
    "overlapping records": "its records are longer than the file",
    "a storage of another size": "storage 0 has another size than its record",
    "nested too deep": "it is nested too deep",
    "lists of lists of the same list": "it refers too often to its own parts",
    "a long bytes object": "142",
    "a long bytearray": "150",
    "an object of a class": "print is not plain data",
    "a set": "set is not plain data",
    "no archive": "not a zip file",
    "a legacy file": "not a zip file",
    "an archive without a pickle": "not enough values to unpack",
    "two pickles": "too many values to unpack",
}
"""Of each what is said; of an opcode that is not read its number."""
forged = pytest.mark.parametrize("kind", FORGED)


@forged
def test_a_forged_state_file_is_refused(tmp_path, kind):
    FORGED[kind](tmp_path / "state.pt")
    with pytest.raises(Exception, match=REFUSALS[kind]):  # the reader makes one error of any
        check_state_file(tmp_path / "state.pt")


def checkpoint_with(folder, kind):
    store = CheckpointStore(folder)
    store.open()
    path = store.save(state_of_training(), 1, {})
    store.close()
    FORGED[kind](path / "state.pt")
    manifest = Manifest.read(path)
    files = manifest.files | {"state.pt": hash_file(path / "state.pt")}
    changed = Manifest(manifest.step, manifest.serial, {}, files)
    (path / "manifest.json").write_bytes(changed.to_bytes())
    return path


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
@forged
def test_reading_a_forged_checkpoint_needs_little_memory_and_is_one_error(tmp_path, kind):
    path = checkpoint_with(tmp_path, kind)
    assert crash.run(reads_with_little_memory, path) == 0


def test_whatever_torch_saves_of_plain_data_passes(tmp_path):
    ones = torch.ones(2)
    kinds = {
        "bytes": b"\x00\xff",
        "long": 2**100,
        "nothing": [None, True, False, 1.5, -1, 70_000, 2**40, (), (1,), (1, 2, 3, 4), {}],
        "text": "ä" * 1000,
        "shared": [ones, ones[1:], ones.t()],
        "expanded": torch.ones(1).expand(1000),
        "sparse": torch.eye(2).to_sparse(),
        "complex": torch.ones(2, dtype=torch.complex64).conj(),
        "parameter": torch.nn.Parameter(ones),
        "empty": torch.ones(0, 3),
        "dtypes": [torch.zeros(2, dtype=dtype) for dtype in DTYPES],
    }
    torch.save({"state": kinds, "tied": {}}, tmp_path / "state.pt")
    check_state_file(tmp_path / "state.pt")


DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint64),
    *(torch.bool, torch.complex64, torch.complex128),
]


def test_pickle_has_the_unpickler_in_python_that_the_check_is_made_of():
    assert issubclass(pickle._Unpickler, object)
    assert {"dispatch", "find_class", "load"} <= set(dir(pickle._Unpickler))


def test_a_small_file_may_refer_many_times_to_its_own_parts(tmp_path):
    torch.save({"notes": [tuple(range(100))] * 100}, tmp_path / "state.pt")
    check_state_file(tmp_path / "state.pt")
