"""Tests of python/fettle_backend: that its structures are the header's, and what it promises about inputs."""
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import fettle_backend

BOTH = ["jit", "interp"]
LOW = ("float8", "float6", "float4", "int4", "uint4", "int2", "uint2")


def model_with_default():
    """y = x * scale + x; scale is an input with a value."""
    nodes = [helper.make_node("Mul", ["x", "scale"], ["m"]), helper.make_node("Add", ["m", "x"], ["y.1"])]
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 2]) for n in ("x", "y.1")]
    scale = helper.make_tensor_value_info("scale", TensorProto.FLOAT, [2])
    graph = helper.make_graph(nodes, "g", [info[0], scale], [info[1]],
                              [numpy_helper.from_array(np.array([2, 3], np.float32), "scale")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class BackendTest(unittest.TestCase):
    x = np.array([[1, 2], [3, 4], [5, 6]], np.float32)

    def test_inputs_by_position_and_name_with_defaults(self):
        for backend in BOTH:
            rep = fettle_backend.prepare(model_with_default(), backend=backend)
            np.testing.assert_array_equal(rep.run([self.x])[0], self.x * [3, 4])
            np.testing.assert_array_equal(rep.run({"x": self.x[:0]})["y.1"], self.x[:0])
            np.testing.assert_array_equal(rep.run([self.x, np.ones(2, np.float32)])[0], 2 * self.x)

    def test_node_of_every_type(self):
        node = helper.make_node("Concat", ["a", "b"], ["c"], axis=0)
        for dtype in fettle_backend.library.FETTLE_TYPE:
            if dtype.name.startswith(LOW):
                continue
            a = np.arange(6).astype(dtype).reshape(2, 3)
            got, = fettle_backend.run_node(node, [a, a[:1]], opset_version=13)
            self.assertEqual(got.dtype, a.dtype)
            np.testing.assert_array_equal(got, np.concatenate([a, a[:1]]))
        for dtype in fettle_backend.library.FETTLE_TYPE:
            if not dtype.name.startswith(LOW) or dtype.name.startswith("float6"):  # which opset 25 does not have
                continue
            a = np.ones((2, 3), np.float32).astype(dtype)
            got, = fettle_backend.run_node(helper.make_node("Transpose", ["a"], ["b"]), [a], opset_version=25)
            self.assertEqual((got.dtype, got.shape), (a.dtype, (3, 2)))
            np.testing.assert_array_equal(got.astype(np.float32), a.T.astype(np.float32))
        got, = fettle_backend.run_node(helper.make_node("Neg", ["a"], ["b"]), [np.float32(3)], opset_version=13)
        self.assertEqual((got.shape, float(got)), ((), -3.0))
        # not contiguous
        got, = fettle_backend.run_node(helper.make_node("Neg", ["a"], ["b"]), [self.x.T], opset_version=13)
        np.testing.assert_array_equal(got, -self.x.T)

    def test_sequences_and_optionals(self):
        seq = helper.make_tensor_sequence_value_info
        lists = helper.make_graph(
            [helper.make_node("SequenceInsert", ["s", "x", "at"], ["r"])], "g",
            [seq("s", TensorProto.FLOAT, None), helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2]),
             helper.make_tensor_value_info("at", TensorProto.INT64, [])], [seq("r", TensorProto.FLOAT, None)])
        of = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, ["n", 2]))
        optional = helper.make_graph(
            [helper.make_node("OptionalHasElement", ["o"], ["h"]), helper.make_node("Identity", ["o"], ["p"])], "g",
            [helper.make_value_info("o", of)],
            [helper.make_tensor_value_info("h", TensorProto.BOOL, []), helper.make_value_info("p", of)])
        imports = {"opset_imports": [helper.make_opsetid("", 18)], "ir_version": 8}
        for backend in BOTH:
            rep = fettle_backend.prepare(helper.make_model(lists, **imports), backend=backend)
            got, = rep.run([[self.x[:1], self.x[:0]], self.x, np.int64(-1)])
            self.assertEqual([len(a) for a in got], [1, 3, 0])
            np.testing.assert_array_equal(got[1], self.x)
            self.assertEqual(len(rep.run([[], self.x, np.int64(0)])[0]), 1)
            with self.assertRaises(fettle_backend.FettleError):
                rep.run([[self.x], self.x, np.int64(2)])
            rep = fettle_backend.prepare(helper.make_model(optional, **imports), backend=backend)
            has, same = rep.run([self.x])
            self.assertTrue(has)
            np.testing.assert_array_equal(same, self.x)
            has, same = rep.run([None])
            self.assertFalse(has)
            self.assertIsNone(same)

    def test_faults_are_errors(self):
        rep = fettle_backend.prepare(model_with_default())
        for fed in ([np.ones((2, 3), np.float32)], [self.x.astype(np.float64)], [], {"z": self.x},
                    [self.x, self.x, self.x]):
            with self.assertRaises(fettle_backend.FettleError):
                rep.run(fed)
        np.testing.assert_array_equal(rep.run([self.x])[0], self.x * [3, 4])  # and the next run is fine
        unknown = model_with_default()
        unknown.graph.node[0].op_type = "NoSuchOp"
        self.assertFalse(fettle_backend.is_compatible(unknown))
        self.assertTrue(fettle_backend.is_compatible(model_with_default()))
        self.assertTrue(fettle_backend.supports_device("CPU"))
        self.assertFalse(fettle_backend.supports_device("CUDA:1"))


if __name__ == "__main__":
    unittest.main()
