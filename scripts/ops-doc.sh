#!/bin/sh
# ops-doc.sh: docs/OPS.md on standard output, from frontend/import_table.def, tests/onnx_node_reasons.txt and the list of
# ONNX node tests that pass.
set -eu
cd "$(dirname "$0")/.."
cat <<'T'
# Operators

Made by `scripts/ops-doc.sh` from `frontend/import_table.def`; a test compares. What ONNX operators become, and in which opsets they
are read. "(several)" stands for an importer that builds what the operator means from several ops.

| ONNX operator | opsets | becomes |
|---|---|---|
T
# IMPORT(domain, "Name", since, until, op, "attrs") and IMPORT_FN(domain, "Name", since, until, op, fn)
sed -n 's/^IMPORT\(_FN\)\{0,1\}(\(ML_\|MS_\|O_\), "\([A-Za-z0-9]*\)", \([0-9]*\), \([0-9A-Z_]*\), \([a-zA-Z_0-9]*\), .*/\2 \3 \4 \5 \6/p' \
	frontend/import_table.def | LC_ALL=C sort -k1,1r -k2,2 -k3,3n | while read -r domain name since until op; do
	case $domain in
	MS_) name=com.microsoft::$name ;;
	ML_) name=ai.onnx.ml::$name ;;
	esac
	[ "$until" = MAX_ ] && until=
	if [ "$op" = NONE ]; then op="(several)"; else op="\`$op\`"; fi
	echo "| $name | $since-$until | $op |"
done
echo
echo "## ONNX node tests"
echo
echo "$(wc -l <tests/onnx_node_expected.txt) of the 932 tests of Debian's libonnx-testdata (ONNX 1.12) pass, on the JIT and the interpreter alike;"
echo "\`tests/onnx_node_expected.txt\` names them. The others:"
echo
cat tests/onnx_node_reasons.txt
