"""A word or number that YAML parsers read in different ways.

## What it does
Finds `yes`, `on`, `NO`, `0777`, `1:30`, dates and the like without quotes.

## Why is this bad
YAML 1.1 reads `on` as true, `0777` as 511 and `1:30` as 90; YAML 1.2 reads them as text or as other numbers. A
runbook must mean the same to every reader.

## Example
```yaml
name: example
recover: []
rollback: yes
```

## Use instead
```yaml
name: example
rollback: false
finally:
  - notify: done
```

## Fix
Safe where only one thing can be meant: `True` becomes `true`, `0640` becomes `"0640"`.
"""

CODE = "RB003"
NAME = "yaml-trap"
LEVEL = "error"
