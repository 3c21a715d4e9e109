#!/bin/sh
# The fixture models on backend jit.
exec sh "$SOURCE/tests/support/models.sh" jit
