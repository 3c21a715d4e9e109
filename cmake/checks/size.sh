#!/bin/sh
# No source file above 800 lines; tables (*.def) may be longer.
list=$(find api backends base bench cli examples frontend include ir kernels passes runtime tests \
	\( -name '*.c' -o -name '*.h' \) 2>/dev/null)
bad=0
for f in $list; do
	n=$(wc -l <"$f")
	if [ "$n" -gt 800 ]; then
		echo "$f: $n lines, at most 800"
		bad=1
	fi
done
exit $bad
