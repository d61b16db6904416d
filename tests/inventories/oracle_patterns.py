"""Run by tests: tells which hosts ansible-core finds for patterns; a line of JSON in, a line of JSON out.

In: `[pattern or list of them, limit or null]`; out: the names, or null where Ansible raises an error.
"""

import json
import sys

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

inventory = InventoryManager(DataLoader(), sources=sys.argv[1:])
for line in sys.stdin:
    pattern, limit = json.loads(line)
    try:
        inventory.subset(limit)
        found = [host.name for host in inventory.get_hosts(pattern)]
    except Exception:  # noqa: BLE001 -- Ansible raises all kinds
        found = None
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
