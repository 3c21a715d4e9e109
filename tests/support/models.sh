# models.sh BACKEND: all fixtures and the digits example agree with their stored outputs.
# Environment: FETTLE, SOURCE (set by ctest).
set -eu
[ -n "${FETTLE:-}" ] || { echo "no fettle command was built"; exit 1; }
exec "$FETTLE" test --backend "$1" "$SOURCE"/tests/fixtures/*/ "$SOURCE/examples/digits"
