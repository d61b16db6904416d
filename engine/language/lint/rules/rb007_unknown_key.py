"""A key or parameter that does not exist here.

## What it does
Finds keys that the language does not have at this place, and parameters that the module does not take, and names the
nearest valid one.

## Why is this bad
A misspelt key would be ignored: a `cooldwon` that nobody obeys is a restart loop at 3 a.m.

## Example
```yaml
name: example
cooldwon: 1m
```

## Use instead
```yaml
name: example
cooldown: 1m
finally:
  - notify: done
```

## Fix
None: the nearest name may not be the one that was meant.
"""

CODE = "RB007"
NAME = "unknown-key"
LEVEL = "error"
