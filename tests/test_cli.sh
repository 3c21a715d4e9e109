# The fettle command: help, exit status, messages, and every verb on a tiny model.
# Environment: FETTLE, SOURCE, BUILD (set by ctest).
set -u
work=$BUILD/tests/cli
tiny=$SOURCE/tests/data/tiny
model=$tiny/model.onnx
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
bad=0

wrong() {
	echo "FAILED: $*"
	[ -s out ] && sed 's/^/  out: /' out | head -5
	[ -s err ] && sed 's/^/  err: /' err | head -5
	bad=1
}

# status N ARGS...: fettle ARGS ends with status N
status() {
	want=$1
	shift
	"$FETTLE" "$@" >out 2>err
	got=$?
	[ $got = "$want" ] || wrong "status $got, not $want: fettle $*"
}

# says FILE PATTERN: the last command said so
says() { grep -qE -- "$2" "$1" || wrong "no \"$2\" on $1"; }

# ---- help teaches ----
status 0 --help
says out '^usage: fettle VERB'
status 2
says out '^usage: fettle VERB'
status 0 --version
says out '^fettle [0-9]+\.[0-9]+\.[0-9]+$'
verbs=$("$FETTLE" --help | sed -n '/^verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ -n "$verbs" ] || wrong "--help lists no verbs"
for verb in $verbs; do
	status 0 "$verb" --help
	says out "^usage: fettle $verb "
	says out "^  fettle $verb "
	[ -s err ] && wrong "$verb --help writes to standard error"
	status 2 "$verb" --no-such-option
	says err '^fettle: unknown option --no-such-option'
done

# ---- usage errors, with suggestions ----
status 2 rum
says err 'did you mean run\?'
status 2 run "$model" --backend jti
says err 'unknown backend'
status 2 run "$model" --thread 1
says err 'did you mean --threads\?'
status 2 run "$model" --threads
says err 'needs a value'
status 2 run "$model" --threads many
status 2 run
status 2 run "$model" --dim btach=2
says err 'no dim "btach".*open dims: batch'
status 2 run "$model" --shape y=1x4
says err 'no input "y".*"x"'
status 2 compile "$model" -o m.c --emit see
status 2 opt "$model" -o m.txt
status 2 opt "$model" --print-after fodl
says err 'did you mean fold\?'
status 2 opt "$model" --passes no-such-pass
status 2 list fish

# ---- faulty files ----
status 1 run no-such.onnx
says err '^fettle: .*no-such.onnx'
printf 'not a model' >junk.onnx
status 1 run junk.onnx
says err '^fettle: .*junk.onnx'
status 1 run "$model" --input x=no-such.npy
status 1 run "$model" --max-memory 1K
says err 'memory limit'

# ---- run ----
status 0 run "$model"
says err 'input "x": random f32\[1x4\]'
says out '^y: f32\[1x3\] ='
says out '^best: i64\[1\] ='
for backend in jit c interp; do
	status 0 run "$model" --inputs "$tiny/test_data_set_0" --output "$backend.npz" --backend $backend
	status 0 run "$model" --inputs "$tiny/test_data_set_0" --output "$backend" --backend $backend
	[ -f "$backend/y.npy" ] && [ -f "$backend/best.npy" ] || wrong "no .npy files of run --backend $backend"
	status 0 run "$model" --inputs "$tiny/test_data_set_0" --backend $backend
	[ $backend = jit ] && cp out shown
	cmp -s out shown || wrong "run --backend $backend shows other numbers than jit"
done
cmp -s jit/best.npy interp/best.npy || wrong "backends differ"
cp jit/y.npy x.npy
status 1 run "$model" --input x=x.npy
says err '"x"'
status 1 run "$model" --input z=x.npy
says err 'no input "z"'

# ---- run over rows: outputs have names, an extra array is ignored ----
status 0 run "$model" --shape x=5x4 --output five.npz
digits=$SOURCE/examples/digits
for batch in 1 7; do
	status 0 run "$digits/model.onnx" --data "$digits/images.npz" --batch $batch
	sed 's/=.*//' out >shape-$batch
done
cmp -s shape-1 shape-7 || wrong "--batch changes the shape of outputs"
status 1 run "$model" --data five.npz
says err 'no array "x"'

# ---- test ----
status 0 test "$tiny"
says out '^ok tiny 2 data sets'
says out '^1 passed, 0 failed$'
status 0 test --backend interp -j1 "$tiny" "$tiny/"
says out '^2 passed, 0 failed$'
status 1 test "$tiny" "$work"
says out '^FAIL cli: no model.onnx'
says out '^1 passed, 1 failed$'
cp -R "$tiny" off
cp off/test_data_set_0/output_0.pb off/test_data_set_1/output_0.pb
status 3 test off
says out '^FAIL off: test_data_set_1: output "y": shape'
printf '{"atol": oops' >off/meta.json
status 1 test off
says out 'meta.json'
mkdir empty && cp "$model" empty/
status 1 test empty
says out 'no test_data_set_0'

# ---- opt, and that .fir and .onnx of it still compute the same ----
status 0 opt "$model"
says out '^func @'
status 0 opt "$model" -o m.fir
status 0 run m.fir --inputs "$tiny/test_data_set_0"
cmp -s out shown || wrong "m.fir shows other numbers"
mkdir again && cp -R "$tiny"/test_data_set_0 again/
status 0 opt m.fir -o again/model.onnx
status 0 test again
status 0 opt "$model" --time-passes --print-after all --stop-after fold -o m2.fir
says err ' ms '
says out '^# after fold'
status 0 opt "$model" --rewrite-limit 0
status 0 opt "$model" -O0 --passes 'fold, cse'
printf 'fold # constants\ncse\n' >r.recipe
status 0 opt "$model" -O0 --recipe r.recipe

# ---- compile ----
for kind in c obj static shared exe onnx ir kernels llvm; do
	mkdir -p "kind-$kind"
	status 0 compile "$model" --emit $kind -o "kind-$kind/" --name tiny
	says out '^wrote '
	sed -n 's/^wrote //p' out | while read -r f; do [ -f "$f" ] || echo "$f"; done >missing
	[ -s missing ] && wrong "compile --emit $kind did not write $(cat missing)"
done
status 0 compile "$model" -o other.c --name elsewhere --weights file
[ -f other.c ] && [ -f elsewhere.h ] && [ -f elsewhere.weights ] || wrong "compile -o other.c --name elsewhere"
status 0 compile "$model" --emit kernels
says out 'kernel'
for cpu in sse2 avx2,sse2; do
	case $(uname -m) in x86_64) ;; *) continue ;; esac
	status 0 compile "$model" -o "exe-$cpu" --emit exe --cpu $cpu
	status 0 run "$model" --shape x=2x4 --output in
done
"$CC" -std=c11 -Wall -Wextra -Werror -c -o /dev/null kind-c/tiny.c 2>err || wrong "emitted C does not compile"
status 0 compile "$model" --emit obj -o one.o
cp one.o first.o
status 0 compile "$model" --emit obj -o one.o
cmp -s one.o first.o || wrong "the same model gives another object"

# ---- bench, inspect, list ----
status 0 bench "$model" --rounds 5 --threads 1
for key in p50_ms min_ms cpu_ms compile_s compile_cpu_s peak_rss_mb; do says out "$key=[0-9.e+-]+"; done
status 0 bench "$model" --inputs "$tiny/test_data_set_0" --rounds 5 --json
says out '"max_abs_diff": '
status 0 inspect "$model"
says out 'parameters: '
says out 'kernels'
status 0 inspect "$model" --json --why all --why-not all
says out '"compiles": true'
for what in passes ops targets; do
	status 0 list $what
	[ "$(wc -l <out)" -gt 3 ] || wrong "list $what is short"
done
exit $bad
