"""A condition or template that is no expression.

## What it does
Parses every `when`, `clear`, `subject` and everything in `{{ }}`. Statements (`{% %}`), calls and unknown filters are
refused.

## Why is this bad
An expression that does not parse can't be evaluated, and a loop in a template could run for ever.

## Example
```yaml
name: example
vars:
  port: 8000
finally:
  - notify: "{{ port + }}"
```

## Use instead
```yaml
name: example
vars:
  port: 8000
finally:
  - notify: "{{ port + 1 }}"
```

## Fix
None.
"""

CODE = "RB010"
NAME = "expression-syntax"
LEVEL = "error"
