"""A key that stands twice in one mapping.

## What it does
Finds keys that are written twice in the same mapping.

## Why is this bad
Most YAML parsers keep the last one silently, so that the first is read by people and by nobody else.

## Example
```yaml
name: example
vars:
  port: 8000
  port: 8001
```

## Use instead
```yaml
name: example
description: port {{ port }}
vars:
  port: 8001
finally:
  - notify: done
```

## Fix
None: only a person knows which one was meant.
"""

CODE = "RB002"
NAME = "duplicate-key"
LEVEL = "error"
