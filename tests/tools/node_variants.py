#!/usr/bin/env python3
"""Makes harder variants of ONNX test folders (model.onnx, test_data_set_k): same data, same answers.

usage: node_variants.py dynamic|shared|constant OUT DIR...

dynamic   every dim of every tensor input is a symbol of its own, and no other shape is stored in the model
shared    the same, but dims of equal size are one symbol
constant  every tensor input is an initializer with the value of the first data set, so that all of it can be folded

Folders whose model has no tensor input with a dim (dynamic, shared) or no tensor input (constant) are left out, and so
are models that say nothing about the type of an input. Ends with the number of folders made. Needs the onnx package."""
import os
import shutil
import sys

import onnx


def clear_shapes(graph):
    """No shape but those of the main graph's inputs is left: the product has to infer them."""
    del graph.value_info[:]
    for v in graph.output:
        if v.type.WhichOneof("value") == "tensor_type":
            v.type.tensor_type.ClearField("shape")


def fed(model):
    """Tensor inputs of the model that are not initializers, with their place among the data files"""
    have = {i.name for i in model.graph.initializer} | {i.values.name for i in model.graph.sparse_initializer}
    for k, v in enumerate(v for v in model.graph.input if v.name not in have):
        if v.type.WhichOneof("value") == "tensor_type":
            yield k, v


def dynamic(model, share):
    symbols = 0
    for k, v in fed(model):
        for axis, d in enumerate(v.type.tensor_type.shape.dim):
            name = f"n{d.dim_value}" if share and d.HasField("dim_value") else f"d{k}_{axis}"
            d.Clear()
            d.dim_param = name
            symbols += 1
    clear_shapes(model.graph)
    return symbols > 0


def constant(model, folder):
    names = []
    for k, v in fed(model):
        path = os.path.join(folder, "test_data_set_0", f"input_{k}.pb")
        if not os.path.exists(path):
            return False
        t = onnx.TensorProto()
        with open(path, "rb") as f:
            t.ParseFromString(f.read())
        t.name = v.name
        model.graph.initializer.append(t)
        names.append(v.name)
    keep = [v for v in model.graph.input if v.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(keep)
    return bool(names)


def variant(kind, folder, out):
    model = onnx.load(os.path.join(folder, "model.onnx"))
    name = os.path.basename(os.path.normpath(folder))
    made = constant(model, folder) if kind == "constant" else dynamic(model, kind == "shared")
    if not made:
        return False
    target = os.path.join(out, name)
    shutil.rmtree(target, ignore_errors=True)
    if kind == "constant":
        os.makedirs(target)
        data = "test_data_set_0"
        shutil.copytree(os.path.join(folder, data), os.path.join(target, data), ignore=shutil.ignore_patterns("input_*"))
        left = [v for v in model.graph.input]
        if left:  # sequences and optionals keep their files
            return bool(shutil.rmtree(target))
    else:
        shutil.copytree(folder, target)
    meta = os.path.join(folder, "meta.json")
    if os.path.exists(meta):
        shutil.copy(meta, target)
    onnx.save(model, os.path.join(target, "model.onnx"))
    return True


def main():
    if len(sys.argv) < 4 or sys.argv[1] not in ("dynamic", "shared", "constant"):
        sys.exit(__doc__)
    kind, out = sys.argv[1:3]
    made = sum(variant(kind, folder, out) for folder in sys.argv[3:])
    print(f"{made} of {len(sys.argv) - 3} folders made")


if __name__ == "__main__":
    main()
