#!/bin/sh
# The ONNX node tests (Debian's libonnx-testdata) on the JIT and the interpreter.
#
# tests/onnx_node_expected.txt names those that pass; docs/OPS.md says why the others do not. A test of the list that
# fails, or one that passes and is not on the list, fails here. FTL_BLESS=1 rewrites the list.
set -eu
[ -n "${FETTLE:-}" ] || { echo "no fettle command was built"; exit 1; }
list=$SOURCE/tests/onnx_node_expected.txt
data=
for dir in /usr/share/libonnx-testdata/data/node /usr/local/share/libonnx-testdata/data/node; do
	[ -d "$dir" ] && data=$dir
done
[ -n "$data" ] || { echo "no ONNX node tests here (Debian: libonnx-testdata)"; exit 1; }
work=$BUILD/tests/onnx_node
mkdir -p "$work"

for backend in jit interp; do
	# some fail, and are meant to: the list says which
	"$FETTLE" test --backend $backend --timeout 60 "$data"/*/ >"$work/$backend.txt" || [ $? -le 3 ]
	sed -n 's/^ok \([^ ]*\).*/\1/p' "$work/$backend.txt" | LC_ALL=C sort >"$work/$backend.ok"
	echo "$backend: $(tail -n 1 "$work/$backend.txt")"
done
LC_ALL=C comm -12 "$work/jit.ok" "$work/interp.ok" >"$work/ok"

if [ "${FTL_BLESS:-}" = 1 ]; then
	cp "$work/ok" "$list"
	exit 0
fi
bad=0
for name in $(LC_ALL=C comm -23 "$list" "$work/ok"); do
	grep -h "^FAIL $name:" "$work/jit.txt" "$work/interp.txt" || echo "FAIL $name"
	bad=1
done
new=$(LC_ALL=C comm -13 "$list" "$work/ok")
if [ -n "$new" ]; then
	echo "these pass and are not on the list (FTL_BLESS=1 adds them):" $new
	bad=1
fi
exit $bad
