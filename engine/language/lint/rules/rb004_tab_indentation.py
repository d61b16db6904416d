r"""A line that a tab indents.

## What it does
Finds tabs where YAML wants spaces.

## Why is this bad
A tab has no fixed width, so YAML forbids it: two people would see two different structures.

## Example
```yaml
name: example
vars: {port: 8000,
\tunit: vllm}
finally:
  - notify: "{{ port }} {{ unit }}"
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
None: the right indentation can't be told.
"""

CODE = "RB004"
NAME = "tab-indentation"
LEVEL = "error"
