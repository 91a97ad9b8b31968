.PHONY: test quick explore faults mutants lint house coverage schema docs bench demo

test:
	pip install -e ".[test]" && python -m pytest -n auto

CORE = $(filter-out $(addprefix tests/test_, $(addsuffix .py, architecture benchmarks house imports missing_packages plotting \
	read_only reference style)), $(wildcard tests/test_*.py)) \
	$(addprefix tests/, caching checkpoints compare disk fingerprint golden keys pack repo)

quick:
	python -m pytest -q -n auto -m "not slow and not long" $(CORE)

explore:
	python -m pytest -n auto -m hypothesis --hypothesis-profile explore

faults:
	pip install -e ".[test]" && python -m pytest -v -rPs -m "" tests/faults tests/stateful tests/repo \
		tests/checkpoints/test_resume_faults.py tests/testing tests/disk tests/storages

lint:
	ruff check . && ruff format --check . && mypy

house:
	python -m tests.house && python -m pytest -q tests/test_imports.py tests/test_house.py tests/test_architecture.py

coverage:
	python -m pytest -n auto --cov

schema:
	python -c 'import json, msgspec, saver.documents as d; print(json.dumps(msgspec.json.schema(d.Document), indent=1))' > docs/documents.schema.json

docs:
	pip install -e ".[docs]" && mkdocs build --strict

bench:
	pip install -e ".[bench]" && python -m benchmarks

demo:
	pip install -e ".[demo]" && saver demo

mutants:
	pip install -c .ci/constraints-all.txt -e ".[test-all]" && python -m tests.mutants
