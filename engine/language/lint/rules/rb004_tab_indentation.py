"""A line that a tab indents.

## What it does
Finds tabs (⇥) where YAML wants spaces.

## Why is this bad
A tab has no fixed width, so YAML forbids it: two people would see two different structures.

## Example
```yaml
name: example
finally:
⇥- notify: done
```

## Use instead
```yaml
name: example
finally:
  - notify: done
```

## Fix
None: the right indentation can't be told.
"""

CODE = "RB004"
NAME = "tab-indentation"
LEVEL = "error"
