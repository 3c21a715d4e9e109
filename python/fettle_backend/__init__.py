"""fettle as a backend of ONNX's standard interface (onnx.backend.base).

    import onnx, fettle_backend
    rep = fettle_backend.prepare(onnx.load("model.onnx"))
    outputs = rep.run([x, y])

prepare, run_model and run_node take backend="jit" (the default), "c" or "interp", and threads=N. The environment variable
FETTLE_BACKEND names another default. `python -m fettle_backend` runs the official test suite; docs/PYTHON.md says how."""
import os

import numpy as np
import onnx
from onnx import helper
from onnx.backend.base import Backend, BackendRep, Device, DeviceType, namedtupledict

from .library import UNSUPPORTED, FettleError, Program, lib

__version__ = lib.fettle_version().decode()


class FettleRep(BackendRep):
    """A prepared model. An initializer that is also a graph input is a constant until a run gives it a value."""

    def __init__(self, model, backend, threads):
        self._bytes = model.SerializeToString()
        self._options = {"backend": backend, "threads": threads}
        constants = {t.name for t in model.graph.initializer}
        constants |= {t.values.name for t in model.graph.sparse_initializer}
        self._declared = [v.name for v in model.graph.input]
        self._defaults = [n for n in self._declared if n in constants]
        self._programs = {}
        self._program(())

    def _program(self, overridden):
        if overridden not in self._programs:
            self._programs[overridden] = Program(self._bytes, overridable=overridden, **self._options)
        return self._programs[overridden]

    def run(self, inputs, **kwargs):
        """inputs: arrays in the order of the graph's inputs, a dict by name, or one array. Returns a named tuple."""
        if isinstance(inputs, dict):
            fed = dict(inputs)
        else:
            arrays = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            required = [n for n in self._declared if n not in self._defaults]
            names = required if len(arrays) <= len(required) else self._declared
            if len(arrays) > len(names):
                raise FettleError(2, f"the model has {len(names)} inputs, {len(arrays)} were given")
            fed = dict(zip(names, arrays))
        program = self._program(tuple(n for n in self._defaults if n in fed))
        missing = [n for n in program.inputs if n not in fed]
        if missing:
            raise FettleError(2, f"no data for input {missing[0]!r}")
        results = program.run([fed[n] for n in program.inputs])
        return namedtupledict("Outputs", program.outputs)(*results)


class FettleBackend(Backend):
    @classmethod
    def supports_device(cls, device):
        return Device(device).type == DeviceType.CPU

    @classmethod
    def is_compatible(cls, model, device="CPU", **kwargs):
        """Can the model be compiled? Other faults than unsupported operators or types are raised."""
        if not cls.supports_device(device):
            return False
        try:
            cls.prepare(model, device, **kwargs)
        except FettleError as e:
            if e.status != UNSUPPORTED:
                raise
            return False
        return True

    @classmethod
    def prepare(cls, model, device="CPU", backend=None, threads=0, **kwargs):
        if not cls.supports_device(device):
            raise ValueError(f"no such device: {device}")
        if isinstance(model, (str, os.PathLike)):
            model = onnx.load(model)
        elif isinstance(model, bytes):
            model = onnx.load_from_string(model)
        return FettleRep(model, backend or os.environ.get("FETTLE_BACKEND", "jit"), threads)

    @classmethod
    def run_node(cls, node, inputs, device="CPU", outputs_info=None, opset_version=None, **kwargs):
        """One operator. inputs: an array per input that the node names, or a dict."""
        present = [n for n in node.input if n]
        arrays = [inputs[n] for n in present] if isinstance(inputs, dict) else list(inputs)
        graph_inputs, fed = [], {}
        for name, a in zip(present, arrays):
            fed[name] = a = np.asarray(a)
            graph_inputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape))
        outputs = [helper.make_empty_tensor_value_info(n) for n in node.output if n]
        graph = helper.make_graph([node], node.op_type, graph_inputs, outputs)
        opset = opset_version or kwargs.pop("opset", None) or onnx.defs.onnx_opset_version()
        imports = [helper.make_opsetid("", opset)]
        if node.domain not in ("", "ai.onnx"):
            imports.append(helper.make_opsetid(node.domain, 1))
        model = helper.make_model(graph, opset_imports=imports)
        return cls.prepare(model, device, **kwargs).run(fed)


is_compatible = FettleBackend.is_compatible
prepare = FettleBackend.prepare
run = FettleBackend.run_model
run_model = FettleBackend.run_model
run_node = FettleBackend.run_node
supports_device = FettleBackend.supports_device
