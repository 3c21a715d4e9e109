# models.sh BACKEND [EVERY]: the fixtures (each EVERY-th one) and the digits example agree with their stored outputs.
# Environment: FETTLE, SOURCE (set by ctest).
set -eu
[ -n "${FETTLE:-}" ] || { echo "no fettle command was built"; exit 1; }
backend=$1 every=${2:-1} n=0
set --
for dir in "$SOURCE"/tests/fixtures/*/; do
	[ $((n % every)) != 0 ] || set -- "$@" "$dir"
	n=$((n + 1))
done
exec "$FETTLE" test --backend "$backend" --timeout 400 "$@" "$SOURCE/examples/digits"
