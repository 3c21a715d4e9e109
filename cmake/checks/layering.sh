#!/bin/sh
# Who includes whom. CMake's include paths refuse most wrong arrows; this also catches the ones it cannot see
# ("../other/room.h", system headers that belong to one room) and says them by name.
bad=0

# The one header two rooms share: what generated code and the runtime say to each other. It stands alone.
abi='^backends/.*include "runtime/abi\.h"'

# may ROOM "ROOMS..." [EXCEPT] : no include of "OTHER/..." from ROOM unless OTHER is listed
all="base ir frontend kernels passes backends runtime api"
may() {
	room=$1 allowed=" $1 $2 " except=${3:-^$}
	[ -d "$room" ] || return 0
	for other in $all; do
		case $allowed in *" $other "*) continue ;; esac
		if grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[\"<](\.\./)*$other/" --include='*.[ch]' \
			--include='*.def' "$room" | grep -v "$except"; then
			echo "  ^ $room must not see $other"
			bad=1
		fi
	done
}
may base ""
may ir "base"
may frontend "ir base"
may kernels "ir base"
may passes "ir kernels base"
may backends "kernels ir base" "$abi"
may runtime "base"
may api "$all"
may cli ""
may include ""

# only PATTERN "ROOMS..." REASON : an include that only these folders may have
only() {
	pattern=$1 rooms=$2
	for dir in $all cli include; do
		case " $rooms " in *" $dir "*) continue ;; esac
		[ -d "$dir" ] || continue
		if grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[\"<]$pattern" --include='*.[ch]' "$dir"; then
			echo "  ^ only $rooms may include this"
			bad=1
		fi
	done
}
only 'fettle/' "api cli include"
only 'zip\.h' "base"
only 'xxhash\.h' "base"
only '(google/)?protobuf-c' "frontend"
only 'onnx\.pb-c\.h' "frontend"

# LLVM: backends/llvm alone
if grep -rnE '#[[:space:]]*include[[:space:]]*["<]llvm(-c)?/' --include='*.[ch]' $all cli include 2>/dev/null |
	grep -v '^backends/llvm/'; then
	echo "  ^ only backends/llvm may include LLVM"
	bad=1
fi

# Op names are for ops.def and its includers: a switch over ops elsewhere is a second list of them.
if grep -rnE 'case[[:space:]]+FTL_OP_[a-z]' --include='*.[ch]' $all cli 2>/dev/null; then
	echo "  ^ switch over ops: put a hook in ir/ops.def"
	bad=1
fi
exit $bad
