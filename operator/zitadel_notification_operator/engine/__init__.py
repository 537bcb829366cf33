"""The engine decides when and in which order things happen; asyncio and core only."""
