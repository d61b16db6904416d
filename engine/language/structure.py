"""The language's own keys, as JSON Schema: what a runbook, an operation, a detector and a step may hold.

This is the one description of the structure. Modules' parameters come from their classes (`schema.py`); the loader's
validator and an editor's completion both read what stands here.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_NUMBER = "[0-9]{1,15}(?:\\.[0-9]{1,9})?"
_DURATION = "(?=[0-9])" + "".join(f"(?:{_NUMBER} ?{unit} ?)?" for unit in ("w", "d", "h", "m", "s", "ms"))
IDENTIFIER = "^[A-Za-z_][A-Za-z0-9_]*$"


def ref(name: str, description: str = "", **more: Any) -> Schema:
    """Refer to a definition, with a description for the place where it is used."""
    return {"$ref": f"#/$defs/{name}", **({"description": description} if description else {}), **more}


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "minLength": 1, "description": description, **more}


def _flag(description: str, **more: Any) -> Schema:
    return {"type": "boolean", "description": description, **more}


def _choice(title: str, description: str, choices: list[str], **more: Any) -> Schema:
    return {"type": "string", "title": title, "description": description, "enum": choices, **more}


def _count(description: str, **more: Any) -> Schema:
    return {"anyOf": [{"type": "integer", "minimum": 1}, ref("template")], "description": description, **more}


def _items(item: str, description: str, **more: Any) -> Schema:
    return {"type": "array", "items": ref(item), "description": description, **more}


def _mapping(title: str, description: str, properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    made: Schema = {"type": "object", "title": title, "description": description, "properties": properties}
    if required:
        made["required"] = list(required)
    return {**made, "additionalProperties": False}


def _named(item: Schema, description: str, **more: Any) -> Schema:
    return {"type": "object", "additionalProperties": item, "description": description, **more}


_HOSTS: Schema = {
    "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": f"^{_NUMBER}%$"}, ref("template")],
    "title": "number of hosts or percentage",
}
MODES = ["observe", "approve", "auto"]
TOLD = ["open", "waiting", "unhealed", "cured"]
_MODE = _choice(
    "mode",
    "What happens by itself: nothing, after an approval, everything. Without it, the impact of the steps decides.",
    MODES,
)

TASK_KEYS: Schema = {
    "name": _text("What people call it; default the module's name."),
    "when": ref("condition", "Skip the step unless this holds, over vars, `incident` and what was registered."),
    "timeout": ref("duration", "How long it may take; default what the module says."),
    "register": _text("The name under which later steps read its result.", pattern=IDENTIFIER),
    "become": _flag("Run as another user, through sudo.", default=False),
    "become_user": _text("Whom to become; default root."),
    "python": _text("The Python on the host that runs this step.", examples=["/opt/vllm/.venv/bin/python"]),
    "delegate_to": _text(
        "Run the step on this host of the inventory instead of the incident's own; `controller` is where runbook runs.",
        examples=["login01", "controller"],
    ),
    "tags": ref("words", "Labels that --tags chooses by."),
}

STEP_KEYS: Schema = {**TASK_KEYS, "mode": _MODE, "limit": ref("limit", "How often it may run, per thing it acts on.")}

OPERATION_KEYS: Schema = {
    **STEP_KEYS,
    "retry": ref("retry", "How the operation is tried again when it fails."),
    "component": _text("Whose error rate, health level and breaker this feeds."),
    "pool": _text("The pool whose members are tried in turn, the healthiest first."),
    "prefer": ref(
        "condition",
        "Which of the pool's members come first: a condition over `member`, or a number, the greatest first.",
        examples=["member.zone == 'a'", "member.weight"],
    ),
    "fallback": _items("step", "Steps to try in turn when the attempts are used up."),
    "rollback": _flag("Undo what can be undone when all is lost.", default=False),
    "redundancy": _count("On how many members of the pool it runs at once; the majority's answer counts.", default=1),
    "run_once": _flag("Carry it out on the first host alone; the others go on when it is over there.", default=False),
}

GUARD_KEYS: Schema = {
    "tags": TASK_KEYS["tags"],
    "become": TASK_KEYS["become"],
    "become_user": TASK_KEYS["become_user"],
    "python": _text("The Python on the host that looks.", examples=["/opt/vllm/.venv/bin/python"]),
    "subject": _text("What the incident is about, as a template over a record's fields.", examples=["{{ gpu }}"]),
    "match": _choice("match", "Fire per record, or once when every record fulfils it.", ["any", "all"], default="any"),
    "for": ref("duration", "How long the condition must hold without a break.", default=0),
    "clear": ref("condition", "Over only when this holds (hysteresis); default: the condition no longer holds."),
    "count": ref("count", "Fire at this many events within a time."),
    "within": ref("duration", "The time in which the members of a correlation must hold together."),
    "severity": _choice("severity", "How bad it is.", ["low", "medium", "high", "critical"], default="medium"),
    "category": _text("A word to group by in reports.", examples=["network", "memory"]),
    "component": _text("The component that it is about: while it fires, that one is as ill as its severity says."),
    "mode": _MODE,
    "max_age": ref("duration", "Evidence older than this is looked at again before anything is done.", default="10m"),
    "limit": ref("limit", "How many recoveries may begin, per host and subject, in a sliding window."),
    "cooldown": ref("duration", "The rest after a recovery before the next one may begin.", default=0),
    "strategy": _choice(
        "strategy",
        "sequence: all rungs, then verify. progressive: verify after each, stop at the first that cured. "
        "parallel: all at once, the first verified cure wins.",
        ["sequence", "progressive", "parallel"],
        default="sequence",
    ),
    "recover": ref("recover", "What to do about it: rungs, or the name of a recovery."),
    "verify": ref("verify", "How a cure is seen."),
    "cured": _items("step", "Steps after a verified cure."),
    "unhealed": _items("step", "Steps when no rung cured it."),
    "rollback": OPERATION_KEYS["rollback"],
    "tell": {
        "anyOf": [{"const": False, "type": "boolean", "title": "false"}, ref("tell")],
        "description": "Whom to tell of its incidents, without a `notify` step; false = nobody.",
        "examples": [{"remind": "4h", "min_severity": "high"}],
    },
    "retry": {
        "anyOf": [{"const": False, "type": "boolean", "title": "false"}, ref("retry")],
        "description": "Of an `error` detector: how the operation is tried again; false = not at all.",
    },
}

DETECTOR_KEYS: Schema = {
    "name": _text("What people call the fault."),
    "hosts": ref("words", "The hosts to look at; default the runbook's.", examples=["gpu:!login"]),
    "every": ref("schedule", "How often `watch` looks; default the runbook's."),
    "when": ref("condition", "What is wrong, over the fields of a record, vars and `incident`; a list is an `and`."),
    **GUARD_KEYS,
}

RUNBOOK_KEYS: Schema = {
    "name": _text("The runbook's name; it may be made of vars.", examples=["llm-deploy", "deploy {{ model }}"]),
    "description": {"type": "string", "description": "What it is for."},
    "hosts": ref("words", "Inventory pattern of the hosts it is for.", default="localhost"),
    "every": ref("schedule", "How often `watch` looks: a duration, or five cron fields.", default="30s"),
    "max_unavailable": {
        **_HOSTS,
        "description": "Hosts under recovery at once; the rest queue. A percentage is rounded down, at least 1.",
        "examples": [1, "5%"],
    },
    "serial": {
        "anyOf": [*_HOSTS["anyOf"], {"type": "array", "minItems": 1, "items": _HOSTS}],
        "title": "number of hosts, percentage, or a list of them",
        "description": "How many hosts at a time, batch by batch; a list names the first batches, its last entry the "
        "rest. A percentage is rounded down, at least 1.",
        "examples": [1, "10%", [1, "10%", "50%"]],
    },
    "max_fail_percentage": {
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": 100},
            {"type": "string", "pattern": f"^{_NUMBER}%$"},
            ref("template"),
        ],
        "title": "percentage",
        "description": "When more of a batch's hosts than this fail, or can't be reached, nothing new is begun.",
        "examples": ["25%"],
    },
    "fault_tolerance": _choice(
        "fault_tolerance",
        "How far to go: none = no step; low = retry and reconnect; medium = and restarts; high = and failover, "
        "fallbacks and all other steps; critical = and majorities. Without it, all the way.",
        ["none", "low", "medium", "high", "critical"],
    ),
    "writable": {
        **_items("text", "The only trees in which steps may delete, move, chown or write."),
        "examples": [["/opt/llm"]],
    },
    "use": _items("text", "Runbooks whose detectors, recoveries, pools and components are used here too."),
    "vars": {
        "type": "object",
        "propertyNames": {"pattern": IDENTIFIER},
        "description": "Values for templates and conditions; -e overrides them.",
    },
    "secrets": _named(ref("secret"), "Where secrets are read from; read as {{ secrets.NAME }}."),
    "operations": _items("operation", "What the runbook itself does, in order; without any it only watches."),
    "detectors": _items("detector", "What can go wrong, and what to do about it."),
    "recoveries": _named(ref("rungs"), "Recoveries by name, for several detectors."),
    "pools": _named(ref("pool"), "Members that can stand in for each other."),
    "components": _named(ref("component"), "What operations depend on, with its breaker."),
    "finally": _items("step", "Steps that end an `apply` that began its operations, whatever happened."),
    **{key: {**value, "description": f"Default for every detector: {value['description']}"}
       for key, value in GUARD_KEYS.items()},
}  # fmt: skip

BLOCK_KEYS: Schema = {
    key: {**TASK_KEYS, "mode": _MODE}[key]
    for key in ("name", "when", "become", "become_user", "python", "delegate_to", "tags", "mode")
}

_SCALARS: Schema = {
    "template": {
        "type": "string",
        "title": "template",
        "pattern": "\\{\\{",
        "description": "Text with {{ … }} in it; one that is nothing else keeps its type.",
    },
    "text": {"type": "string", "title": "text", "minLength": 1},
    "duration": {
        "title": "duration",
        "description": "A time with its units: ms s m h d w.",
        "examples": ["30s", "10m", "1h30m"],
        "anyOf": [
            {"type": "string", "pattern": f"^{_DURATION}$"},
            {"type": "integer", "minimum": 0, "maximum": 0},
            ref("template"),
        ],
    },
    "size": {
        "title": "size",
        "description": "Bytes with their unit: B kB MB GB TB PB (1000), KiB MiB GiB TiB PiB (1024).",
        "examples": ["50GB", "4GiB"],
        "anyOf": [
            {"type": "string", "pattern": f"^{_NUMBER} ?(?:[kKMGTP]B|[KMGTP]iB|B)$"},
            {"type": "integer", "minimum": 0, "maximum": 0},
            ref("template"),
        ],
    },
    "percent": {
        "title": "percentage",
        "description": "85 or 85%.",
        "examples": ["85%", 85],
        "anyOf": [
            {"type": "string", "pattern": f"^{_NUMBER} ?%?$"},
            {"type": "number", "minimum": 0},
            ref("template"),
        ],
    },
    "limit": {
        "title": "limit",
        "description": "So many, for ever or in a sliding window.",
        "examples": [3, "3 per 1h"],
        "anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": f"^[1-9][0-9]{{0,8}}(?: per {_DURATION})?$"},
            ref("template"),
        ],
    },
    "count": {
        "title": "count",
        "description": "So many events within a time.",
        "examples": ["2 per 24h"],
        "anyOf": [{"type": "string", "pattern": f"^[1-9][0-9]{{0,8}} per {_DURATION}$"}, ref("template")],
    },
    "schedule": {
        "title": "duration or cron expression",
        "description": "A duration, or minute, hour, day of month, month and day of week.",
        "examples": ["30s", "*/5 * * * *"],
        "anyOf": [
            ref("duration"),
            {"type": "string", "pattern": "^(?:[^ \\t]+[ \\t]+){4}[^ \\t]+$"},
            {"enum": ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"],
             "type": "string"},
        ],
    },
    "condition": {
        "title": "condition",
        "description": "An expression, without {{ }}; a list of them is an `and`.",
        "examples": ["temperature > 85 or memory_used_percent > 95"],
        "anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "boolean"},
            {"type": "array", "minItems": 1, "items": {"type": ["string", "boolean"]}},
        ],
    },
    "words": {
        "title": "text or list of texts",
        "anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": ref("text")}],
    },
}  # fmt: skip

_RETRY = _mapping(
    "retry",
    "How an operation is tried again.",
    {
        "strategy": _choice(
            "strategy",
            "How the delay between attempts grows.",
            ["immediate", "linear", "exponential", "fibonacci"],
            default="exponential",
        ),
        "attempts": _count(
            "How often it is tried, the first time included; with `within` and without this, as often as fits.",
            default=3,
        ),
        "within": ref("duration", "No attempt begins later than this after the first.", examples=["10m"]),
        "base": ref("duration", "The first delay.", default="5s"),
        "max": ref("duration", "The longest delay.", default="60s"),
        "jitter": {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": "^(?:100|[0-9]{1,2}(?:\\.[0-9]{1,9})?)%$"},
                ref("template"),
            ],
            "title": "share",
            "description": "The share of the delay by which it varies, 0 to 1.",
            "default": 0,
            "examples": [0.2, "20%"],
        },
    },
)
_VERIFY = _mapping(
    "verify",
    "How a cure is seen: `clear` must hold unbroken for `for`, before `within` ends.",
    {
        "after": ref("duration", "The wait before the first look.", default=0),
        "every": ref("duration", "The time between looks.", default="2s"),
        "for": ref("duration", "How long it must be well.", default=0),
        "within": ref("duration", "When to give up; at least twice `for`.", default="60s"),
        "detector": _text("Another detector that must be silent instead; for events such as log lines."),
    },
)
_BREAKER = _mapping(
    "breaker",
    "Stops attempts at what keeps failing.",
    {
        "failures": _count("Failures in a row that open it.", default=5),
        "successes": _count("Successes in a row that close it again.", default=2),
        "timeout": ref("duration", "How long it stays open.", default="60s"),
    },
)

DEFINITIONS: Schema = {
    **_SCALARS,
    "retry": _RETRY,
    "verify": _VERIFY,
    "tell": _mapping(
        "tell",
        "Whom to tell of incidents, and when; once each, and silent under `ack` and maintenance.",
        {
            "about": {
                "anyOf": [
                    {"type": "string", "enum": TOLD},
                    {"type": "array", "minItems": 1, "items": {"type": "string", "enum": TOLD}},
                ],
                "description": "What is told: that one opens, waits for an approval, ended without a cure, is cured.",
                "default": TOLD,
            },
            "channels": ref("words", "Channels of the configuration; default its usual ones.", examples=[["oncall"]]),
            "remind": ref("duration", "How often what still stands is told again; 0 = never.", default="4h"),
            "min_severity": _choice(
                "severity", "Incidents below it are not told.", ["low", "medium", "high", "critical"], default="low"
            ),
        },
    ),
    "component": _mapping(
        "component",
        "What operations depend on.",
        {"breaker": _BREAKER, "window": _count("How many attempts its error rate is made of.", default=20)},
    ),
    "pool": _mapping(
        "pool",
        "Members that can stand in for each other.",
        {
            "members": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "title": "member",
                    "properties": {"name": _text("What people call the member.")},
                    "required": ["name"],
                },
                "description": "What can stand in; each with a name and whatever templates read as {{ member.… }}.",
            },
            "switch": _items("step", "What `failover` does; the members are {{ from }} and {{ to }}."),
        },
        ("members",),
    ),
    "secret": {
        **_mapping(
            "secret",
            "Where a secret is read from: one of env, file and keyring.",
            {
                "env": _text("An environment variable."),
                "file": _text("A file."),
                "keyring": _text(
                    "An entry of the keyring: SERVICE/USER.", pattern="^.+/[^/]+$", examples=["llm-deploy/hf_token"]
                ),
            },
        ),
        "oneOf": [{"required": ["env"]}, {"required": ["file"]}, {"required": ["keyring"]}],
        "examples": [{"env": "HF_TOKEN"}],
    },
    "rungs": {"type": "array", "title": "list of steps", "items": ref("rung")},
    "recover": {
        "title": "list of steps, or the name of a recovery",
        "anyOf": [{"type": "string", "minLength": 1}, ref("rungs")],
    },
    "rung": {"title": "step or block", "anyOf": [ref("step"), ref("block")]},
    "block": _mapping(
        "block",
        "Steps that succeed or fail together; the other keys hold for each of them.",
        {"block": {**_items("step", "The steps."), "minItems": 1}, **BLOCK_KEYS},
        ("block",),
    ),
}
