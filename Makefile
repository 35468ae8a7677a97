# The five commands of working on fracbench; `make` alone lists them.
.PHONY: help install test lint docs board

help:
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

install:  ## the package, its tools and the hooks of git, into the virtual environment that is active
	pip install -e '.[test,docs]'
	pre-commit install

test:  ## the fast half of the tests; `pytest -m slow` is the other
	pytest

lint:  ## what the hooks and .ci/run check: style, types, who imports whom
	ruff check .
	ruff format --check .
	mypy
	lint-imports

docs:  ## generated pages, then the site in site/
	python docs/generate.py
	mkdocs build --strict

board:  ## the starters on 16 images, and their board
	fracbench run --all --benchmark smoke
	fracbench leaderboard
