#!/bin/sh
# docs/OPS.md is what scripts/ops-doc.sh makes, its reasons account for every ONNX node test that is not on the list, and
# links between documents lead somewhere. FTL_BLESS=1 rewrites docs/OPS.md.
set -eu
cd "$SOURCE"
[ "${FTL_BLESS:-}" != 1 ] || sh scripts/ops-doc.sh >docs/OPS.md
sh scripts/ops-doc.sh | diff -u docs/OPS.md - || { echo "docs/OPS.md: FTL_BLESS=1 rewrites it"; exit 1; }

known=$(wc -l <tests/onnx_node_expected.txt)
other=$(awk -F'|' 'NR > 2 { n += $2 } END { print n }' tests/onnx_node_reasons.txt)
[ $((known + other)) = 932 ] || { echo "tests/onnx_node_reasons.txt: $other reasons, $((932 - known)) tests do not pass"; exit 1; }

bad=0
for doc in README.md CONTRIBUTING.md docs/*.md; do
	for to in $(grep -o ']([^)#:]*)' "$doc" | tr -d '()]'); do
		[ -e "$(dirname "$doc")/$to" ] || { echo "$doc: no $to"; bad=1; }
	done
done
exit $bad
