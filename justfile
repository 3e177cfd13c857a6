# What people, hooks and .ci/run call, so that they cannot drift.

export OMP_NUM_THREADS := "1"

# All gates but the tests.
check:
    ruff format --check .
    ruff check .
    lint-imports
    basedpyright
    zensical build --strict

# All tests; just test tests/store for some.
test *paths:
    pytest -n 2 {{ paths }}

# The reference pages, from the code.
docs:
    python docs/reference/generate.py

# Figures of one benchmark, such as: just bench startup
bench name *options:
    python benchmarks/{{ name }}.py {{ options }}
