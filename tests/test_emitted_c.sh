#!/bin/sh
# Emitted C of a few models: the same bytes each time, no warnings from gcc and clang, nothing but libc, libm and pthread,
# right results with both, in plain C99, on a CPU without AVX, and without a word from the sanitizers.
set -eu
[ -n "${FETTLE:-}" ] || { echo "no fettle command was built"; exit 1; }
work=$BUILD/tests/emitted_c
rm -rf "$work"
mkdir -p "$work/again"
lib=$(dirname "$FETTLE")
sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all"
case $(nm -D --undefined-only "$lib/libfettle.so") in *__asan_*) link=$sanitize ;; *) link= ;; esac
# shellcheck disable=SC2086 # lists of flags
gcc $link -o "$work/dataset" "$SOURCE/tests/tools/dataset.c" -I"$SOURCE/include" -L"$lib" -lfettle -Wl,-rpath,"$lib"

# The old CPU must really refuse AVX, else running there shows nothing.
old="qemu-x86_64 -cpu core2duo"
printf '#include <immintrin.h>\nint main(int n, char **v) { (void)v; __m256 x = _mm256_set1_ps((float)n);\n' >"$work/avx.c"
printf 'x = _mm256_sqrt_ps(x); return (int)x[3] != 1; }\n' >>"$work/avx.c"
gcc -O1 -mavx -o "$work/avx" "$work/avx.c"
if $old "$work/avx" 2>/dev/null; then
	echo "$old runs AVX code"
	exit 1
fi

# build NAME OUT COMPILER FLAGS...: the model and the program around it, warnings are errors
build() {
	name=$1 out=$2 cc=$3
	shift 3
	"$cc" "$@" -Wall -Wextra -Werror -c -o "$out.o" "$work/$name.c"
	# _GNU_SOURCE and C11: for the test program, not for what was emitted
	"$cc" "$@" -std=gnu11 -Wall -Wextra -Werror -I"$work" -include "$name.h" -include "$name.data.h" "-DM(x)=${name}_##x" \
		"-D${name}_THREADS" -DATOL=1e-4 -DRTOL=1e-3 -c -o "$out.main.o" "$SOURCE/tests/tools/emitted.c"
	"$cc" "$@" -o "$out" "$out.o" "$out.main.o" -lm -lpthread
}

one() {
	name=$1 dir=$2
	"$FETTLE" compile "$dir/model.onnx" --emit c -o "$work/$name.c" >/dev/null
	"$FETTLE" compile "$dir/model.onnx" --emit c -o "$work/again/$name.c" >/dev/null
	cmp "$work/$name.c" "$work/again/$name.c"
	cmp "$work/$name.h" "$work/again/$name.h"
	"$work/dataset" "$dir/test_data_set_0" >"$work/$name.data.h"

	build "$name" "$work/$name.gcc" gcc -O2 -std=c11
	"$work/$name.gcc"
	build "$name" "$work/$name.clang" clang-19 -O2 -std=c11
	"$work/$name.clang"
	# -nodefaultlibs: no libgcc or anything else that a compiler slips in
	for cc in gcc clang; do
		gcc -shared -nodefaultlibs -Wl,-z,defs -o "$work/$name.so" "$work/$name.$cc.o" -lm -lc
	done
	build "$name" "$work/$name.san" gcc -O1 -g -std=c11 $sanitize
	"$work/$name.san"
	build "$name" "$work/$name.old" gcc -O2 -std=c11 -march=x86-64
	$old "$work/$name.old"

	"$FETTLE" compile "$dir/model.onnx" --emit c --c-dialect iso -o "$work/$name.c" >/dev/null
	build "$name" "$work/$name.iso" gcc -O1 -std=c99 -pedantic
	"$work/$name.iso"
	echo "$name: ok"
}

one digits "$SOURCE/examples/digits"
one moe_mamba "$SOURCE/tests/fixtures/moe-mamba"       # Scan
one speechformer "$SOURCE/tests/fixtures/speechformer" # sizes that only the data tells
one kv_qwen3 "$SOURCE/tests/fixtures/kv-qwen3"         # cached keys and values in and out

# what does not fit is an error code
cat >"$work/lookup.fir" <<'END'
func @f(%x: f32[?n,4] "x", %i: i64[?k] "i") -> (f32[?k,4] "y") {
 %y = gather %x, %i {axis=0} : f32[?k,4]
 return %y
}
END
"$FETTLE" compile "$work/lookup.fir" --emit c -o "$work/lookup.c" >/dev/null
# shellcheck disable=SC2086
gcc -O1 -g $sanitize -Wall -Wextra -Werror -I"$work" -o "$work/lookup" "$work/lookup.c" "$SOURCE/tests/tools/emitted_errors.c" -lm
"$work/lookup"
echo "error codes: ok"
