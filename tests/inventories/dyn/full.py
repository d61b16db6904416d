#!/usr/bin/env python3
"""A dynamic inventory with `_meta`."""

import json
import sys

if sys.argv[1:] != ["--list"]:
    sys.exit(f"not asked for: {sys.argv[1:]}")
print(  # noqa: T201
    json.dumps(
        {
            "_meta": {
                "hostvars": {
                    "d1": {"a": 1, "t": "{{ x }}", "u": {"__ansible_unsafe": "{{ raw }}"}},
                    "d9": {"nobody": 1},
                }
            },
            "all": {"children": ["ungrouped", "dyn"], "vars": {"everyone": True}},
            "dyn": {"hosts": ["d1", "d2"], "vars": {"v": [1, {"b": None}]}, "children": ["below"]},
            "below": {"hosts": ["d3"]},
            "old": ["d4", "d1"],
            "alone": {"some": "var", "t": "{{ x }}"},
            "ungrouped": {"hosts": ["d5"]},
        }
    )
)
