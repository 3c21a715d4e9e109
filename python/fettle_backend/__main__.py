"""The official ONNX backend tests on fettle.

usage: python -m fettle_backend [--backend jit|c|interp] [--include REGEX] [--exclude REGEX] [unittest options]

Runs the tests that come with the installed onnx package and need no download (node, simple, PyTorch operators); with
--include the tests whose name matches, --exclude leaves some out; both may be given more than once. Everything else is
unittest's: -v lists the tests, -f stops at the first failure."""
import argparse
import os
import re
import sys
import unittest

import onnx.backend.test

import fettle_backend


def main():
    p = argparse.ArgumentParser(prog="python -m fettle_backend", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--backend", choices=["jit", "c", "interp"])
    p.add_argument("--include", action="append", default=[])
    p.add_argument("--exclude", action="append", default=[])
    options, rest = p.parse_known_args()
    if options.backend:
        os.environ["FETTLE_BACKEND"] = options.backend
    cases = onnx.backend.test.BackendTest(fettle_backend, __name__).test_cases
    cases.pop("OnnxBackendRealTest", None)  # downloads
    for case in cases.values():
        for name in [n for n in vars(case) if n.startswith("test_")]:
            wanted = not options.include or any(re.search(r, name) for r in options.include)
            if not wanted or name.endswith("_cuda") or any(re.search(r, name) for r in options.exclude):
                delattr(case, name)
    globals().update(cases)
    unittest.main(module=__name__, argv=[sys.argv[0]] + rest)


if __name__ == "__main__":
    main()
