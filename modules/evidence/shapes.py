"""What tokens look like, as a regex's text: who needs it compiled does so, and the others import it for nothing."""

TOKENS = (
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[\w-]{16,}"
    r"|sk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|AIza[\w-]{35}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|nvapi-[\w-]{20,}|npm_[A-Za-z0-9]{30,}"
    r"|(?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
)
