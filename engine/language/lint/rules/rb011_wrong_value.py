"""A value without its unit, in a wrong unit, or out of range.

## What it does
Checks durations, sizes, percentages, limits and every typed parameter of a module.

## Why is this bad
`for: 30` might be seconds or minutes, and `2 minuts` is neither.

## Example
```yaml
name: example
cooldown: 2 minuts
```

## Use instead
```yaml
name: example
cooldown: 2m
finally:
  - notify: done
```

## Fix
None: a number without a unit does not say which one was meant.
"""

CODE = "RB011"
NAME = "wrong-value"
LEVEL = "error"
