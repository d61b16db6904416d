"""A recovery, detector, pool or operation that is not defined.

## What it does
Finds `recover:`, `verify: {detector:}`, `all:`, `pool:` and `during:` that name something which neither this file nor
what it uses defines.

## Why is this bad
The recovery would be missing in the very moment in which it is needed.

## Example
```yaml
name: example
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
    recover: tell peple
recoveries:
  tell people:
    - notify: the server is down
```

## Use instead
```yaml
name: example
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
    recover: tell people
recoveries:
  tell people:
    - notify: the server is down
```

## Fix
None.
"""

CODE = "RB012"
NAME = "unknown-name"
LEVEL = "error"
