#!/bin/sh
# The fixture models on backend interp.
exec sh "$SOURCE/tests/support/models.sh" interp
