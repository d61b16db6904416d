"""A var of an inventory that looks like one of Ansible's and is none.

## What it does
Finds names that begin with `ansible_` and are nearly, but not quite, one that says how a host is reached.

## Why is this bad
A misspelt `ansible_user` is a var like any other: nothing complains, and the login is tried as somebody else.

## Example
```yaml
all:
  hosts:
    gpu01:
      ansible_usr: ops
```

## Use instead
```yaml
all:
  hosts:
    gpu01:
      ansible_user: ops
```

## Fix
None: what was meant is for a person to say.
"""

CODE = "RB066"
NAME = "unknown-host-var"
LEVEL = "warning"
