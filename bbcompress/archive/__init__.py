"""The container: compressing pictures into a file, and reading files. Format: docs/FORMAT.md."""
