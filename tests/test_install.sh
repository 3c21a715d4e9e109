#!/bin/sh
# What a user gets from `cmake --install`: the command, its man page, find_package(fettle) and pkg-config, from a folder
# that was moved after installing; and the example that uses them.
set -eu
[ -n "${FETTLE:-}" ] || { echo "no fettle command was built"; exit 1; }
work=$BUILD/tests/install
rm -rf "$work"
mkdir -p "$work"
cmake --install "$BUILD" --prefix "$work/first" >"$work/log"
mv "$work/first" "$work/moved"
prefix=$work/moved

"$prefix/bin/fettle" list targets >/dev/null
gzip -cd "$prefix"/share/man/man1/fettle.1* 2>/dev/null >"$work/man" || cat "$prefix"/share/man/man1/fettle.1 >"$work/man"
for verb in run test compile opt bench inspect list; do
	grep -q "$verb" "$work/man" || { echo "the man page lacks $verb"; exit 1; }
done

# a program of its own, through CMake
flags=
case $(nm -D --undefined-only "$(dirname "$FETTLE")/libfettle.so") in *__asan_*) flags="-fsanitize=address,undefined" ;; esac
cmake -G Ninja -S "$SOURCE/examples" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_FLAGS="$flags" >>"$work/log"
cmake --build "$work/cmake" >>"$work/log"
"$work/cmake/digits" "$SOURCE/examples/digits/model.onnx" "$SOURCE/examples/digits/images.npz" "$work/digits" >"$work/out"
grep -q '24 of 24 right' "$work/out" || { cat "$work/out"; exit 1; }
[ -s "$work/digits.c" ] && [ -s "$work/digits.h" ]

# and through pkg-config, with the shared and with the static library
pc=$(dirname "$(find "$prefix" -name fettle.pc)")
PKG_CONFIG_PATH=$pc
export PKG_CONFIG_PATH
# shellcheck disable=SC2046,SC2086 # lists of flags
cc $flags -std=c11 -Wall -Wextra -Werror "$SOURCE/examples/digits/digits.c" -o "$work/by-pc" $(pkg-config --cflags --libs fettle) \
	-Wl,-rpath,"$(pkg-config --variable=libdir fettle)" -lm
"$work/by-pc" "$SOURCE/examples/digits/model.onnx" "$SOURCE/examples/digits/images.npz" "$work/digits" >/dev/null
rm "$(pkg-config --variable=libdir fettle)"/libfettle.so*
# shellcheck disable=SC2046,SC2086
cc $flags -std=c11 "$SOURCE/examples/digits/digits.c" -o "$work/static" $(pkg-config --cflags --static --libs fettle)
"$work/static" "$SOURCE/examples/digits/model.onnx" "$SOURCE/examples/digits/images.npz" "$work/digits" >/dev/null
rm -rf "$work"
