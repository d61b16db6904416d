"""What tokens look like, as a regex's text: who needs it compiled does so, and the others import it for nothing."""

TOKENS = (
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[\w-]{16,}"
    r"|sk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|AIza[\w-]{35}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|nvapi-[\w-]{20,}|npm_[A-Za-z0-9]{30,}"
    r"|(?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
)
RARER = (  # of more services: models, trackers of runs, clouds, messengers, payments
    r"\b(?:api_org_[A-Za-z0-9]{16,}|hf_(?:oauth|jwt)_[\w.-]{16,}"
    r"|(?:r8|gsk|fw|ntn|jina|e2b|tgp_v1|lin_api)_[A-Za-z0-9_-]{20,}|(?:xai|pplx)-[A-Za-z0-9]{20,}"
    r"|pcsk_\w{20,}|a[ks]-[A-Za-z0-9]{22}\b|wandb_v\d_\w{20,}|lsv2_(?:pt|sk)_\w{20,}"
    r"|gl(?:rt|cbt|dt|ptt|ft|soat|imt|agent)-[\w-]{16,}|dckr_(?:pat|oat)_[\w-]{20,}|pypi-[\w-]{30,}"
    r"|(?:A[BC]IA|ACCA)[0-9A-Z]{16}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,}|do[opr]_v1_[0-9a-f]{32,}"
    r"|dapi[0-9a-f]{32}|hv[bsr]\.[\w-]{20,}|s\.[A-Za-z0-9]{24}\b|dp\.[a-z]{2,5}\.(?:[\w-]{2,35}\.)?[A-Za-z0-9]{40,}"
    r"|pul-[0-9a-f]{40}|tskey-[a-z]{2,12}-[\w-]{10,}|AGE-SECRET-KEY-1[0-9A-Z]{50,}|ATATT3[\w=-]{20,}"
    r"|gl(?:sa|c)_[\w+/=]{20,}|NRAK-[0-9A-Z]{20,}|sntry[su]_[\w+/=-]{20,}|xapp-\d-[A-Za-z0-9-]{10,}"
    r"|(?<!\d)\d{8,10}:AA[\w-]{33}|SG\.[\w-]{16,32}\.[\w-]{16,64}|SK[0-9a-f]{32}\b|key-[0-9a-f]{32}\b"
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{20,}|shp(?:at|ca|pa|ss)_[0-9a-f]{32}"
    r"|hooks\.slack\.com/[a-z]{4,12}/[\w/]{20,}|discord(?:app)?\.com/api/webhooks/\d{5,25}/[\w-]{20,}"
    r"|webhook\.office\.com/[\w/@-]{40,})"
    r"|\$(?:1|2[abxy]|5|6|7|y|gy|apr1|argon2(?:id?|d))\$[\w./=,$+-]{20,}"  # what a password was made into
)
