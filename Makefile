.PHONY: test lint bench demo mutants

test:
	pip install -e ".[test]" && python -m pytest -n auto

lint:
	ruff check . && ruff format --check . && mypy

bench:
	pip install -e ".[bench]" && python -m benchmarks

demo:
	pip install -e ".[demo]" && saver demo

mutants:
	python -m tests.mutants
