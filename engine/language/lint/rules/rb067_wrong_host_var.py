"""A var of an inventory by which no host can be reached.

## What it does
Finds ports outside of 1 to 65535, a `become` that is neither true nor false, connections and ways to become another
user that runbook does not have.

## Why is this bad
It is noticed by the first run, on the host, and perhaps at night.

## Example
```yaml
all:
  hosts:
    gpu01:
      ansible_port: 222222
```

## Use instead
```yaml
all:
  hosts:
    gpu01:
      ansible_port: 22222
```

## Fix
None: what was meant is for a person to say.
"""

CODE = "RB067"
NAME = "wrong-host-var"
LEVEL = "error"
