#!/bin/sh
# deps.sh build|test: install the Debian 12 packages that building (or building and testing) needs and that are
# missing. Needs root, or sudo. Does nothing, and wants no network, when all are there.
set -eu

# No recommendations are installed, so what a tool needs at run time is named too.
build="gcc libc6-dev cmake ninja-build pkg-config protobuf-c-compiler libprotobuf-c-dev llvm-19-dev
	libopenblas-dev libzip-dev libxxhash-dev libcjson-dev libcpuinfo-dev libpthreadpool-dev"
# The tests also compare with a second compiler, the ONNX node tests, the formatter, and run code on an older CPU.
test="libcmocka-dev clang-19 libclang-rt-19-dev clang-format-14 libonnx-testdata qemu-user"

case ${1:-} in
build) want=$build ;;
test) want="$build $test" ;;
*) echo "usage: deps.sh build|test" >&2; exit 2 ;;
esac

missing=
for p in $want; do
	# "install ok installed" is the only state that counts
	[ "$(dpkg-query -W -f '${Status}' "$p" 2>/dev/null)" = "install ok installed" ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "deps.sh: no apt-get here; install what stands for these Debian packages:$missing" >&2
	exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "deps.sh: must be root to install:$missing" >&2; exit 1; }
	sudo="sudo"
fi
echo "installing:$missing"
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing </dev/null >/dev/null
