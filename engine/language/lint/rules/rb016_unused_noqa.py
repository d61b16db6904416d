"""A `# noqa` that silences nothing.

## What it does
Finds `# noqa` comments on lines where their codes are not found.

## Why is this bad
A comment that outlives its reason will silence the next, real finding on its line.

## Example
```yaml
name: example # noqa: RB036
finally:
  - notify: done
```

## Use instead
```yaml
name: example
finally:
  - notify: done
```

## Fix
Safe: the comment is deleted; other words in it stay.
"""

CODE = "RB016"
NAME = "unused-noqa"
LEVEL = "warning"
