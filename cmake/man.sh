#!/bin/sh
# man.sh COMMAND OUT VERSION [HELP2MAN]: man page from `COMMAND --help`, by help2man or plainly by ourselves.
# A command that cannot run (yet) gives a short page: the manual must not stop the build.
cmd=$1 out=$2 version=$3 help2man=$4
date=$(date -u -d "@${SOURCE_DATE_EPOCH:-0}" +%Y-%m-%d 2>/dev/null || echo 1970-01-01)

if [ -n "$help2man" ] && "$help2man" --no-info --no-discard-stderr --name="compiler for ONNX transformer models" \
	--version-string="$version" --output="$out" "$cmd" 2>/dev/null; then
	exit 0
fi

text=$("$cmd" --help 2>/dev/null) || text="Run \`fettle --help'."
{
	printf '.TH FETTLE 1 "%s" "fettle %s" "User Commands"\n' "$date" "$version"
	printf '.SH NAME\nfettle \\- compiler for ONNX transformer models\n'
	printf '.SH SYNOPSIS\n.B fettle\n.I VERB\n[\\fIARGUMENT\\fR...]\n'
	printf '.SH DESCRIPTION\n.nf\n'
	# backslashes, minus signs and control characters at the start of a line mean something to troff
	printf '%s\n' "$text" | sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^\\([.']\\)/\\\\\\&\\1/"
	printf '.fi\n.SH EXIT STATUS\n'
	printf '.TP\n0\ndone\n.TP\n1\nthe model or its data is at fault\n.TP\n2\nusage\n.TP\n3\naccuracy or tolerance not met\n'
} >"$out"
