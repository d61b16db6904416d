"""Anchors and aliases that grow without bound.

## What it does
Refuses aliases that refer to themselves or multiply a small file into a large structure.

## Why is this bad
A few lines of aliases can fill the memory of the controller (the billion laughs).

## Example
```yaml
name: example
vars:
  a: &a [x, x, x, x, x, x, x, x, x, x]
  b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
  c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
  d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
  e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]
  f: [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]
```

## Use instead
```yaml
name: example
vars:
  ports: [8000, 8001]
description: "{{ ports }}"
finally:
  - notify: done
```

## Fix
None.
"""

CODE = "RB005"
NAME = "exploding-alias"
LEVEL = "error"
