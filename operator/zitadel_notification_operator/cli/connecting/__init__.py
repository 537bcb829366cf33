"""Which cluster and which ZITADEL a command uses, and how it gets there."""
