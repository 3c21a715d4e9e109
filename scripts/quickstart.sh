#!/bin/sh
# quickstart.sh: install what is missing, build, install into build/install, and run the digits example there.
set -eu
cd "$(dirname "$0")/.."

sh scripts/deps.sh build
# Tests are left out here; scripts/test.sh turns them on in the same build folder.
cmake --preset release -DBUILD_TESTING=OFF >/dev/null
cmake --build build
cmake --install build --prefix build/install >build/install.log

# The example is built as a user's program is: against the installed library.
cmake -G Ninja -S examples -B build/examples -DCMAKE_BUILD_TYPE=Release \
	-DCMAKE_PREFIX_PATH="$PWD/build/install" >build/examples.log
cmake --build build/examples >>build/examples.log
build/examples/digits examples/digits/model.onnx examples/digits/images.npz build/digits
