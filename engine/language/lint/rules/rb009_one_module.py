"""A step with two modules, or with none.

## What it does
Finds steps, operations and detectors that do not name exactly one module.

## Why is this bad
Which of two comes first, and what becomes of the other when one fails, would be a guess.

## Example
```yaml
name: example
finally:
  - notify: done
    wait: 1s
```

## Use instead
```yaml
name: example
finally:
  - notify: done
  - wait: 1s
```

## Fix
None.
"""

CODE = "RB009"
NAME = "one-module"
LEVEL = "error"
