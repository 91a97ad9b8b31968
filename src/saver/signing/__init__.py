"""Who says what of a version: statements, their signatures, and what a user demands; docs/security.md."""
