"""The commands about what ZITADEL holds: history, report, check."""
