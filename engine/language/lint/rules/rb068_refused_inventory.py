"""Something in an inventory for which it is refused as a whole.

## What it does
Finds groups that are their own ancestors, patterns of hosts that can't be expanded, sections of groups that are
nowhere declared, and what is no group, host or var where one is expected.

## Why is this bad
Ansible warns and goes on with the part of the file before it, so that a pass sees half of the fleet. Runbook refuses.

## Example
```yaml
web:
  children:
    gpu:
gpu:
  children:
    web:
```

## Use instead
```yaml
web:
  children:
    gpu:
gpu:
  hosts:
    gpu[01:08]:
```

## Fix
None: what was meant is for a person to say.
"""

CODE = "RB068"
NAME = "refused-inventory"
LEVEL = "error"
