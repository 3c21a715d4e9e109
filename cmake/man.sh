#!/bin/sh
# man.sh COMMAND OUT VERSION: man page from `COMMAND --help` and `COMMAND VERB --help` of every verb.
# A command that cannot run here (built for another machine) gives a short page: the manual must not stop the build.
set -eu
cmd=$1 out=$2 version=$3
date=$(date -u -d "@${SOURCE_DATE_EPOCH:-0}" +%Y-%m-%d 2>/dev/null || echo 1970-01-01)

# Backslashes, minus signs, and dots and quotes at the start of a line mean something to troff.
troff() {
	printf '.nf\n'
	sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^\\([.']\\)/\\\\\\&\\1/"
	printf '.fi\n'
}

help=$("$cmd" --help 2>/dev/null) || help="See fettle --help."
verbs=$(printf '%s\n' "$help" | sed -n '/^verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p')
{
	printf '.TH FETTLE 1 "%s" "fettle %s" "User Commands"\n' "$date" "$version"
	printf '.SH NAME\nfettle \\- compiler for ONNX transformer models\n'
	printf '.SH SYNOPSIS\n.B fettle\n.I VERB\n[\\fIARGUMENT\\fR...]\n'
	printf '.SH DESCRIPTION\n'
	printf '%s\n' "$help" | sed 1,2d | troff
	[ -z "$verbs" ] || printf '.SH VERBS\n'
	for verb in $verbs; do
		printf '.SS %s\n' "$verb"
		"$cmd" "$verb" --help | troff
	done
	printf '.SH EXIT STATUS\n'
	printf '.TP\n0\ndone\n.TP\n1\nthe model or its data is at fault\n.TP\n2\nusage\n.TP\n3\naccuracy or tolerance not met\n'
} >"$out"
