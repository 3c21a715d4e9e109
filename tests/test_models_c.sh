#!/bin/sh
# The fixture models on backend c.
exec sh "$SOURCE/tests/support/models.sh" c
