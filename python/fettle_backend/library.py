"""libfettle through ctypes: what include/fettle/fettle.h declares, as far as loading, compiling and running need it.

The library is, in this order: the file that FETTLE_LIBRARY names; the one in build/ of the checkout this package lies in;
the one that the system finds."""
import ctypes
import ctypes.util
import os
from ctypes import POINTER, byref, c_bool, c_char, c_char_p, c_int, c_int64, c_size_t, c_uint64, c_void_p

import numpy as np

MAX_RANK = 12
OK, UNSUPPORTED = 0, 4
BACKENDS = {"jit": 0, "c": 1, "interp": 2}
TENSOR, SEQUENCE, OPTIONAL, OPTIONAL_SEQUENCE = range(4)  # fettle_kind


class Error(ctypes.Structure):
    _fields_ = [("status", c_int), ("text", c_char * 1024)]


class Tensor(ctypes.Structure):
    pass


Tensor._fields_ = [
    ("name", c_char_p),
    ("dtype", c_int),
    ("rank", c_int),
    ("dims", c_int64 * MAX_RANK),
    ("data", c_void_p),
    ("bytes", c_size_t),
    ("kind", c_int),
    ("items", POINTER(Tensor)),
    ("n_items", c_size_t),
    ("none", c_bool),
]


class Port(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p),
        ("kind", c_int),
        ("dtype", c_int),
        ("rank", c_int),
        ("dims", c_int64 * MAX_RANK),
        ("dim_text", c_char_p * MAX_RANK),
        ("dim_min", c_int64 * MAX_RANK),
        ("dim_max", c_int64 * MAX_RANK),
    ]


class LoadOptions(ctypes.Structure):
    _fields_ = [
        ("shapes", POINTER(c_char_p)),
        ("n_shapes", c_size_t),
        ("dims", POINTER(c_char_p)),
        ("n_dims", c_size_t),
        ("overridable", POINTER(c_char_p)),
        ("n_overridable", c_size_t),
        ("max_memory", c_uint64),
    ]


class CompileOptions(ctypes.Structure):
    _fields_ = [
        ("backend", c_int),
        ("cpu", c_char_p),
        ("compile_threads", c_int),
        ("quick", c_bool),
        ("no_fuse", c_bool),
        ("tmpdir", c_char_p),
    ]


class SessionOptions(ctypes.Structure):
    _fields_ = [("threads", c_int), ("max_memory", c_uint64)]


class FettleError(RuntimeError):
    """What a call of the library failed with: status as in fettle_status, and its one-line text."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def _open():
    here = os.path.dirname(os.path.abspath(__file__))
    built = os.path.join(here, "..", "..", "build", "libfettle.so")
    named = os.environ.get("FETTLE_LIBRARY")
    path = named or (built if os.path.exists(built) else ctypes.util.find_library("fettle"))
    if not path:
        raise ImportError("libfettle was not found: build or install fettle, or name the library in FETTLE_LIBRARY")
    return ctypes.CDLL(path)


lib = _open()


def _declare():
    handle, error = c_void_p, POINTER(Error)
    signatures = {
        "fettle_version": (c_char_p, []),
        "fettle_dtype_name": (c_char_p, [c_int]),
        "fettle_model_load_memory": (
            c_int, [c_char_p, c_size_t, c_char_p, c_char_p, POINTER(LoadOptions), error, POINTER(handle)]),
        "fettle_model_load": (c_int, [c_char_p, POINTER(LoadOptions), error, POINTER(handle)]),
        "fettle_model_free": (None, [handle]),
        "fettle_compile": (c_int, [handle, POINTER(CompileOptions), error, POINTER(handle)]),
        "fettle_program_free": (None, [handle]),
        "fettle_program_input_count": (c_size_t, [handle]),
        "fettle_program_output_count": (c_size_t, [handle]),
        "fettle_program_input": (POINTER(Port), [handle, c_size_t]),
        "fettle_program_output": (POINTER(Port), [handle, c_size_t]),
        "fettle_session_create": (c_int, [handle, POINTER(SessionOptions), error, POINTER(handle)]),
        "fettle_session_run": (c_int, [handle, POINTER(Tensor), POINTER(Tensor), error]),
        "fettle_session_free": (None, [handle]),
    }
    for name, (result, args) in signatures.items():
        fn = getattr(lib, name)
        fn.restype, fn.argtypes = result, args


_declare()


def _dtypes():
    """{fettle dtype: numpy dtype}, by the names that the library gives its element types"""
    plain = {"f16": "float16", "f32": "float32", "f64": "float64", "bool": "bool"}
    plain.update({f"{c}{n}": f"{k}{n}" for c, k in (("i", "int"), ("u", "uint")) for n in (8, 16, 32, 64)})
    others = {"bf16": "bfloat16", "f8e4m3fn": "float8_e4m3fn", "f8e4m3fnuz": "float8_e4m3fnuz", "f8e5m2": "float8_e5m2",
              "f8e5m2fnuz": "float8_e5m2fnuz", "f8e8m0": "float8_e8m0fnu", "f6e2m3": "float6_e2m3fn",
              "f6e3m2": "float6_e3m2fn", "f4e2m1": "float4_e2m1fn", "i4": "int4", "u4": "uint4", "i2": "int2",
              "u2": "uint2"}
    table = {}
    try:
        import ml_dtypes
    except ImportError:
        ml_dtypes = None
    for code in range(1, 64):
        name = (lib.fettle_dtype_name(code) or b"").decode()
        if name in plain:
            table[code] = np.dtype(plain[name])
        elif hasattr(ml_dtypes, others.get(name, "?")):
            table[code] = np.dtype(getattr(ml_dtypes, others[name]))
    return table


NUMPY_TYPE = _dtypes()
FETTLE_TYPE = {v: k for k, v in NUMPY_TYPE.items()}
STRING_TYPE = next(k for k in range(1, 64) if lib.fettle_dtype_name(k) == b"string")  # arrays of object, str or bytes


def check(status, error):
    if status != OK:
        raise FettleError(status, error.text.decode("utf-8", "replace"))


def strings(names):
    """A C array of strings"""
    return (c_char_p * len(names))(*[n.encode() for n in names])


class Program:
    """A model compiled for this process, and a session to run it with. model: bytes, or the path of a file."""

    def __init__(self, model, backend="jit", threads=0, folder=None, overridable=()):
        self._program, self._session, error = c_void_p(), c_void_p(), Error()
        loaded = c_void_p()
        options = LoadOptions(overridable=strings(overridable), n_overridable=len(overridable))
        # a program keeps what it needs of its model, but not the bytes that the model was loaded from
        self._bytes = model
        if isinstance(model, bytes):
            status = lib.fettle_model_load_memory(
                model, len(model), b"model", folder.encode() if folder else None, byref(options), byref(error), byref(loaded))
        else:
            status = lib.fettle_model_load(os.fspath(model).encode(), byref(options), byref(error), byref(loaded))
        check(status, error)
        try:
            chosen = CompileOptions(backend=BACKENDS[backend], compile_threads=threads)
            check(lib.fettle_compile(loaded, byref(chosen), byref(error), byref(self._program)), error)
        finally:
            lib.fettle_model_free(loaded)
        run = SessionOptions(threads=threads)
        check(lib.fettle_session_create(self._program, byref(run), byref(error), byref(self._session)), error)
        self.inputs = self._names(lib.fettle_program_input, lib.fettle_program_input_count)
        self.outputs = self._names(lib.fettle_program_output, lib.fettle_program_output_count)
        self._kinds = [lib.fettle_program_input(self._program, k).contents.kind for k in range(len(self.inputs))]

    def _names(self, port, count):
        return [port(self._program, k).contents.name.decode() for k in range(count(self._program))]

    def __del__(self):
        if getattr(self, "_session", None):
            lib.fettle_session_free(self._session)
        if getattr(self, "_program", None):
            lib.fettle_program_free(self._program)

    def run(self, arrays):
        """One array per input, in order; the results, which are the caller's. A sequence is a list of arrays; an optional is
        None or what it is an optional of."""
        if len(arrays) != len(self.inputs):
            raise FettleError(2, f"the model has {len(self.inputs)} inputs, {len(arrays)} were given")
        kept = []
        values = [self._value(a, kind, kept) for a, kind in zip(arrays, self._kinds)]
        given = (Tensor * max(len(values), 1))(*values)
        got, error = (Tensor * max(len(self.outputs), 1))(), Error()
        check(lib.fettle_session_run(self._session, given, got, byref(error)), error)
        return [self._result(t) for t in got[: len(self.outputs)]]

    @classmethod
    def _value(cls, a, kind, kept):
        """kept: what must stay alive until the run is over"""
        if kind == TENSOR or not (a is None or isinstance(a, (list, tuple))):
            if np.asarray(a).dtype.kind in "OUS":
                return cls._strings(np.asarray(a), kept)
            kept.append(np.require(a, requirements=["C", "A"]))
            return cls._tensor(kept[-1])
        if a is None:
            return Tensor(kind=kind, none=True)
        items = (Tensor * max(len(a), 1))(*[cls._value(x, TENSOR, kept) for x in a])
        kept.append(items)
        return Tensor(kind=SEQUENCE, items=items, n_items=len(a))

    @classmethod
    def _result(cls, t):
        if t.kind == TENSOR:
            return cls._array(t)
        if t.kind != SEQUENCE and t.none:
            return None
        items = [cls._array(t.items[k]) for k in range(t.n_items)]
        return items[0] if t.kind == OPTIONAL else items

    @staticmethod
    def _tensor(a):
        if a.dtype not in FETTLE_TYPE:
            raise FettleError(UNSUPPORTED, f"arrays of {a.dtype} are not supported")
        if a.ndim > MAX_RANK:
            raise FettleError(2, f"an array has {a.ndim} dims, the limit is {MAX_RANK}")
        return Tensor(dtype=FETTLE_TYPE[a.dtype], rank=a.ndim, dims=(c_int64 * MAX_RANK)(*a.shape), data=a.ctypes.data,
                      bytes=a.nbytes)

    @staticmethod
    def _strings(a, kept):
        """Of str, or bytes that are UTF-8"""
        flat = [s if isinstance(s, bytes) else s.encode() if isinstance(s, str) else None for s in a.ravel().tolist()]
        if None in flat:
            raise FettleError(UNSUPPORTED, "an array of objects holds something else than strings")
        if any(b"\0" in s for s in flat):
            raise FettleError(UNSUPPORTED, "strings with a NUL inside are not supported")
        if a.ndim > MAX_RANK:
            raise FettleError(2, f"an array has {a.ndim} dims, the limit is {MAX_RANK}")
        kept.append((c_char_p * max(len(flat), 1))(*flat))
        return Tensor(dtype=STRING_TYPE, rank=a.ndim, dims=(c_int64 * MAX_RANK)(*a.shape),
                      data=ctypes.cast(kept[-1], c_void_p), bytes=len(flat) * ctypes.sizeof(c_char_p))

    @staticmethod
    def _array(t):
        if t.dtype == STRING_TYPE:
            n = t.bytes // ctypes.sizeof(c_char_p)
            data = ctypes.cast(t.data, POINTER(c_char_p))[:n] if n else []
            a = np.empty(n, dtype=object)
            a[:] = [s.decode("utf-8", "replace") for s in data]
            return a.reshape(t.dims[: t.rank])
        if t.dtype not in NUMPY_TYPE:
            raise FettleError(UNSUPPORTED, "a result's element type has no numpy type here (is ml_dtypes installed?)")
        data = ctypes.string_at(t.data, t.bytes) if t.bytes else b""
        return np.frombuffer(data, NUMPY_TYPE[t.dtype]).reshape(t.dims[: t.rank]).copy()
