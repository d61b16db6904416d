"""A list where a mapping belongs, a missing key, a value of another type.

## What it does
Holds the file against the schema of a runbook (`runbook schema`).

## Why is this bad
What has the wrong shape can't be carried out.

## Example
```yaml
name: example
detectors:
  name: server down
  http: http://127.0.0.1:8000/health
```

## Use instead
```yaml
name: example
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
```

## Fix
None.
"""

CODE = "RB006"
NAME = "wrong-structure"
LEVEL = "error"
