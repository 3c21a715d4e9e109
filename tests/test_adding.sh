#!/bin/sh
# Follows docs/ADDING_AN_OP.md and docs/ADDING_A_PASS.md literally, on a copy of the tree.
#
# The line in front of a code block says what to do with it:
#   In `FILE`, above `TEXT`:   put the block in front of the first line that begins with TEXT
#   New file `FILE`:           make the file
#   Run:                       run it, in the root of the copy
#   It prints:                 what the block before it must have printed
# A block without such a line is an error, so that no code in the documents goes untested.
# FTL_KEEP=1 keeps the copy, $BUILD/tests/adding/tree.
set -eu
work=$BUILD/tests/adding
tree=$work/tree
rm -rf "$work"
mkdir -p "$tree"

# what a build and its tests need, and nothing that lies about
cd "$SOURCE"
for f in CMakeLists.txt CMakePresets.json cmake base ir frontend kernels passes backends runtime api cli include tests docs; do
	cp -R "$f" "$tree/"
done

# steps DOC DIR: one folder per block, with files kind, file, mark and body
steps() {
	awk -v dir="$2" '
		/^```/ {
			if (inside) { close(body); inside = 0; kind = ""; next }
			if (kind == "") { print FILENAME ":" FNR ": a code block without a word on what to do with it"; bad = 1; exit }
			step = sprintf("%s/%03d", dir, ++n)
			system("mkdir -p " step)
			print kind >(step "/kind"); close(step "/kind")
			print file >(step "/file"); close(step "/file")
			print mark >(step "/mark"); close(step "/mark")
			print FNR >(step "/line"); close(step "/line")
			body = step "/body"
			printf "" >body
			inside = 1
			next
		}
		inside { print >body; next }
		/^In `[^`]+`, above `[^`]+`:$/ { split($0, p, "`"); kind = "above"; file = p[2]; mark = p[4]; next }
		/^New file `[^`]+`:$/ { split($0, p, "`"); kind = "new"; file = p[2]; next }
		/^Run:$/ { kind = "run"; next }
		/^It prints:$/ { kind = "prints"; next }
		NF { kind = "" }
		END { exit bad }
	' "$1"
}

follow() {
	doc=$1 dir=$work/$(basename "$1" .md)
	mkdir -p "$dir"
	steps "$SOURCE/$doc" "$dir"
	for step in "$dir"/*/; do
		file=$(cat "$step/file")
		at=$doc:$(cat "$step/line")
		case $(cat "$step/kind") in
		above)
			awk -v block="$step/body" -v markfile="$step/mark" '
				BEGIN { getline mark <markfile }
				!done && index($0, mark) == 1 { while ((getline line <block) > 0) print line; done = 1 }
				{ print }
				END { exit !done }
			' "$tree/$file" >"$step/new" || { echo "$at: $file has no such line: $(cat "$step/mark")"; exit 1; }
			cp "$step/new" "$tree/$file"
			;;
		new)
			[ ! -e "$tree/$file" ] || { echo "$at: $file is there already"; exit 1; }
			mkdir -p "$(dirname "$tree/$file")"
			cp "$step/body" "$tree/$file"
			;;
		run)
			(cd "$tree" && sh -eu "$step/body") >"$work/printed" || { cat "$work/printed"; echo "$at: failed"; exit 1; }
			;;
		prints)
			diff -u "$step/body" "$work/printed" || { echo "$at: prints something else"; exit 1; }
			;;
		esac
	done
	echo "$doc: $(find "$dir" -name kind | wc -l) steps"
}

follow docs/ADDING_AN_OP.md
follow docs/ADDING_A_PASS.md
[ "${FTL_KEEP:-}" = 1 ] || rm -rf "$tree"
