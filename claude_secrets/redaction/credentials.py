"""Recognises texts that look like credentials, by the prefixes that services use.

Always: the module is pure. Its result is a guess, and nothing is refused because of a guess.
"""

import re
from typing import Final

_KINDS: Final = {
    "a GitHub token": r"gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,}",
    "a GitLab token": r"glpat-[A-Za-z0-9_-]{20,}",
    "an Anthropic key": r"sk-ant-[A-Za-z0-9_-]{24,}",
    "an OpenAI key": r"sk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{32,}",
    "an AWS access key": r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    "a Google API key": r"AIza[A-Za-z0-9_-]{35}",
    "a Slack token": r"xox[abeoprs]-[A-Za-z0-9-]{20,}",
    "a Stripe key": r"[rs]k_live_[A-Za-z0-9]{20,}",
    "an npm token": r"npm_[A-Za-z0-9]{36}",
    "a PyPI token": r"pypi-[A-Za-z0-9_-]{50,}",
    "a Hugging Face token": r"hf_[A-Za-z0-9]{30,}",
    "a SendGrid key": r"SG\.[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{40,}",
    "a Shopify token": r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "a signed token (JWT)": r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}",
    "an address with a password": r"[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,64}:(?!\$|<|\{|secret://)[^\s/@]{6,}@[\w.-]+",
}
_ANY: Final = re.compile("|".join(f"(?<![A-Za-z0-9])({pattern})" for pattern in _KINDS.values()))


def kinds_in(text: str) -> list[str]:
    """Return the kinds of credentials that `text` seems to contain, such as `a GitHub token`; list each kind once."""
    kinds = list(_KINDS)
    groups = (match.lastindex for match in _ANY.finditer(text))
    return list(dict.fromkeys(kinds[number - 1] for number in groups if number))
