"""A ZITADEL for trials and tests; imports nothing of the operator."""
