#!/bin/sh
# Fixture models on backend c. The C compiler takes seconds for each, so every fourth; CI runs others from beside the checkout.
exec sh "$SOURCE/tests/support/models.sh" c 4
