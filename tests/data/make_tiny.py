#!/usr/bin/env python3
"""Makes tiny/, the model of test_api.c and test_cli.sh. Needs onnx and numpy.

x f32[batch,4] -> y = relu(scale * (x @ w + b)) f32[batch,3], best = argmax of y i64[batch]
scale is an initializer that is also an input: constant unless asked for. tiny holds the model and two data sets,
the second with scale fed."""
import os
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save_model

here = os.path.dirname(os.path.abspath(__file__))
w = (np.arange(12, dtype=np.float32).reshape(4, 3) - 5) / 4
b = np.array([0.5, -0.25, 0.125], np.float32)
scale = np.array(2, np.float32)
x_info = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
s_info = helper.make_tensor_value_info("scale", TensorProto.FLOAT, [])
outs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3]),
        helper.make_tensor_value_info("best", TensorProto.INT64, ["batch"])]
nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], name="project"),
         helper.make_node("Add", ["h", "b"], ["hb"], name="bias"),
         helper.make_node("Mul", ["hb", "scale"], ["hs"], name="scale"),
         helper.make_node("Relu", ["hs"], ["y"], name="relu"),
         helper.make_node("ArgMax", ["y"], ["best"], name="best", axis=1, keepdims=0)]
inits = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b"), numpy_helper.from_array(scale, "scale")]
graph = helper.make_graph(nodes, "tiny", [x_info, s_info], outs, inits)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="fettle tests")
os.makedirs(os.path.join(here, "tiny"), exist_ok=True)
save_model(model, os.path.join(here, "tiny", "model.onnx"))
for k, (n, s) in enumerate([(2, None), (3, 0.5)]):
    x = ((np.arange(n * 4, dtype=np.float32).reshape(n, 4) * 7) % 5 - 2) / 2
    y = np.maximum((x @ w + b) * np.float32(s or 2), 0)
    d = os.path.join(here, "tiny", f"test_data_set_{k}")
    os.makedirs(d, exist_ok=True)
    for name, name_in_file, a in [("input_0", "x", x), ("output_0", "y", y), ("output_1", "best", y.argmax(1))] + (
            [("input_1", "scale", np.array(s, np.float32))] if s else []):
        with open(os.path.join(d, name + ".pb"), "wb") as f:
            f.write(numpy_helper.from_array(a, name_in_file).SerializeToString())
