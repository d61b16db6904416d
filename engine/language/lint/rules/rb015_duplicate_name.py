"""Two detectors or operations of the same name.

## What it does
Finds names that are given twice.

## Why is this bad
Incidents, holds and limits belong to a detector by its name: two of one name would share them.

## Example
```yaml
name: example
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status == 0
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status == 503
```

## Use instead
```yaml
name: example
detectors:
  - name: server gone
    http: http://127.0.0.1:8000/health
    when: status == 0
  - name: server busy
    http: http://127.0.0.1:8000/health
    when: status == 503
```

## Fix
None.
"""

CODE = "RB015"
NAME = "duplicate-name"
LEVEL = "error"
