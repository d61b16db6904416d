"""A module of your own that can't be taken from where it stands.

## What it does
Finds steps and probes of your own that would replace a bundled one, that stand in two places, or that lie where others
can write: in `runbook_modules/`, a folder of `--module-path`, or on the way to it.

## Why is this bad
Modules run on every host of the runbook, often as root. Whoever can write in their folder could run anything there. And
a name that means something else than `runbook doc` says misleads the next person.

## Example
```yaml
name: example
operations:
  - name: let it settle
    wait: 30s
    timeout: 1m
```
```python
# runbook_modules/steps/wait.py
class Wait:
    pass
```

## Use instead
```yaml
name: example
operations:
  - name: let it settle
    wait: 30s
    timeout: 1m
```

## Fix
None: `chmod go-w` of the directory that the message names, or another name.
"""

CODE = "RB064"
NAME = "own-place"
LEVEL = "error"
