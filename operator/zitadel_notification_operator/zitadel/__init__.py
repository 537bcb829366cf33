"""The ZITADEL adapter: the only code that knows its paths, headers and error ids."""
