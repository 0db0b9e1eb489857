"""A database cluster on one machine, and what a fault of it costs the callers of token-authority."""
