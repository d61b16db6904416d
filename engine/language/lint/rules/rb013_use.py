"""A `use` that can't be followed.

## What it does
Finds files in `use` that are missing, do not load, or use each other in a circle.

## Why is this bad
Detectors and recoveries that were meant to be there would be missing.

## Example
```yaml
name: example
use: [./no-such-runbook.yaml]
```

## Use instead
```yaml
name: example
use: []
finally:
  - notify: done
```

## Fix
None.
"""

CODE = "RB013"
NAME = "use"
LEVEL = "error"
