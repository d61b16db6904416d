"""`python -m runbook`: the command line."""

from runbook.engine.cli import main

if __name__ == "__main__":
    main()
