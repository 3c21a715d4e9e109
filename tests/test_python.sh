# python/fettle_backend on the library of this build; skipped where python3 has no numpy and onnx.
set -eu
python3 -c 'import numpy, onnx' 2>/dev/null || { echo "python3 has no numpy and onnx here"; exit 77; }
export FETTLE_LIBRARY="$BUILD/libfettle.so" PYTHONPATH="$SOURCE/python" PYTHONDONTWRITEBYTECODE=1
# an instrumented library wants its sanitizer loaded before everything else
if ldd "$FETTLE_LIBRARY" | grep -q asan; then
	LD_PRELOAD=$(ldd "$FETTLE_LIBRARY" | sed -n 's/.*=> \(.*asan[^ ]*\) .*/\1/p')
	ASAN_OPTIONS="detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
	export LD_PRELOAD ASAN_OPTIONS
fi
exec python3 "$SOURCE/tests/tools/check_backend.py"
