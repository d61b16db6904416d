"""A file that can't be read as YAML.

## What it does
Refuses a file that can't be opened, is a directory, is larger than 1 MiB, is not UTF-8, or is not YAML.

## Why is this bad
Nothing of such a file can be trusted, so nothing of it is carried out.

## Example
```yaml
name: example
detectors: [
```

## Use instead
```yaml
name: example
detectors: []
finally:
  - notify: done
```

## Fix
None.
"""

CODE = "RB001"
NAME = "syntax"
LEVEL = "error"
