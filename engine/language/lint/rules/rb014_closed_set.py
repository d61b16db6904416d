"""A value outside a closed set.

## What it does
Finds a `mode`, `severity`, `strategy` or a module's parameter that is none of the values that there are.

## Why is this bad
A mode that nobody knows would have to be guessed, and a wrong guess acts.

## Example
```yaml
name: example
mode: automatic
```

## Use instead
```yaml
name: example
mode: approve
finally:
  - notify: done
```

## Fix
None.
"""

CODE = "RB014"
NAME = "closed-set"
LEVEL = "error"
