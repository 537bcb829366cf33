"""The ZITADEL adapter: the only place that knows its paths, headers and error ids."""
