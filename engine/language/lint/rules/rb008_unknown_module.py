"""A step or probe that does not exist.

## What it does
Finds steps and detectors whose module is none of those that `runbook doc` lists, and names the nearest one.

## Why is this bad
There is nothing that could be carried out.

## Example
```yaml
name: example
finally:
  - notfy: done
```

## Use instead
```yaml
name: example
finally:
  - notify: done
```

## Fix
None.
"""

CODE = "RB008"
NAME = "unknown-module"
LEVEL = "error"
