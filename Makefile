.PHONY: test quick faults mutants lint house coverage schema bench demo

test:
	pip install -e ".[test]" && python -m pytest -n auto

faults:
	pip install -e ".[test]" && python -m pytest -v -m "" tests/faults tests/stateful tests/repo

lint:
	ruff check . && ruff format --check . && mypy

bench:
	pip install -e ".[bench]" && python -m benchmarks

demo:
	pip install -e ".[demo]" && saver demo

mutants:
	python -m tests.mutants

schema:
	python -c 'import json, msgspec, saver.documents as d; print(json.dumps(msgspec.json.schema(d.Document), indent=1))' > docs/documents.schema.json
