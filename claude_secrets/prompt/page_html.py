"""The HTML of the one-time page, and its content security policy.

Always: `_text` or `_path` escapes every text that comes from the caller. The HTML contains no script, no external
resource and never a value.
"""

import base64
import hashlib
import html
from importlib import resources

from claude_secrets.model import Access, InputQuestion
from claude_secrets.prompt.page_form import ADDS, Problem
from claude_secrets.untrusted_text import plain, quoted

PROMPT_LIMIT = 500
"""The page shows at most this many characters of an agent's own words."""

_NOTE_LIMIT = 1000
_STYLE = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def claim_page(question: InputQuestion, *, path: str, visit: str) -> str:
    """Return the first page, with the question and one button. `visit` is an id that is unique to this copy."""
    return _document(
        f"Enter {question.name}",
        _about(question)
        + f"""<form method="post" action="{_text(path)}">
<input type="hidden" name="action" value="claim">
<input type="hidden" name="visit" value="{_text(visit)}">
<p>Continue only if you expect this question. The page then belongs to this browser and
stops if it is opened anywhere else.</p>
<div class="buttons"><button class="main">Continue</button></div>
</form>""",
    )


def form_page(question: InputQuestion, *, path: str, closes: str, problem: Problem | None = None) -> str:
    """Return the page with the form. If the last input could not be stored, `problem` is shown above the field."""
    said = f'<p class="problem" id="problem" role="alert">{_text(problem.text)}</p>\n' if problem else ""
    access = problem.access if problem else question.access
    return _document(
        f"Enter {question.name}",
        _about(question)
        + f"""<form method="post" action="{_text(path)}" autocomplete="off">
{said}<label class="field" for="value">Value of <code>{_text(question.name)}</code></label>
<textarea id="value" name="value" rows="4" autocomplete="off" autocapitalize="off" autocorrect="off"
 spellcheck="false" autofocus{_described("value", problem)}></textarea>
<label class="choice" for="show"><input type="checkbox" id="show" autocomplete="off">
<span>Show what I type</span></label>
<fieldset>
<legend>Who may read it</legend>
{_choice(Access.READABLE, access, "Agents may read it", "The value can then appear in chats and their transcripts.")}
{_choice(Access.USE_ONLY, access, "Use-only: not shown to agents", "Programs can use it. Reading needs your consent.")}
</fieldset>
{_adding(question, problem) if question.adds else ""}<div class="buttons">
<button class="main" name="action" value="store">Store</button>
<button form="cancel">Cancel</button>
</div>
</form>
<form method="post" action="{_text(path)}" id="cancel"><input type="hidden" name="action" value="cancel"></form>
<p class="note">{_text(closes)}</p>""",
        state="Error: " if problem else "",
    )


def message_page(title: str, *paragraphs: str, problem: bool = False, back: str | None = None) -> str:
    """Return a page with a message. If `back` is given, the page links to the form at this path."""
    kind = ' class="problem"' if problem else ""
    body = "".join(f"<p{kind if number == 0 else ''}>{_text(text)}</p>\n" for number, text in enumerate(paragraphs))
    if back is not None:
        body += f'<p><a href="{_text(back)}">Back to the form</a></p>\n'
    return _document(title, body)


def _document(title: str, body: str, *, state: str = "") -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{state}{_text(title)} · Claude Secrets</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<p class="sender">Claude Secrets</p>
<h1>{_text(title)}</h1>
{body}
</main>
</body>
</html>
"""


def _about(question: InputQuestion) -> str:
    rows = [
        _row("Project", f"<code>{_path(question.project)}</code>"),
        _row("Secret", f"<code>{_text(question.name)}</code>"),
    ]
    if question.replaces is not None:
        rows.append(_row("Replaces", f"version {question.replaces}"))
    if question.about:
        rows.append(_row("Project's note", _text(plain(question.about, limit=_NOTE_LIMIT))))
    if question.url:
        rows.append(_row("Project's link", _link(question.url)))
    parts = [
        "<p>An agent asks you for this secret. What you enter goes to the encrypted store, not into the chat.</p>",
        f"<dl>\n{''.join(rows)}</dl>",
    ]
    if question.adds:
        parts.insert(1, "<p>The name is not in this project's allowlist, so agents may not use it here yet.</p>")
    if question.store is not None:
        parts.append(f'<p class="warning">Not your usual store: <code>{_path(question.store)}</code></p>')
    if plain(question.prompt):
        prompt = quoted(question.prompt, limit=PROMPT_LIMIT)
        parts.append(
            "<figure><figcaption>The agent's own words, not checked by anyone:</figcaption>\n"
            f"<blockquote>{_text(prompt)}</blockquote></figure>"
        )
    return "\n".join(parts) + "\n"


def _row(term: str, markup: str) -> str:
    return f"<dt>{_text(term)}</dt><dd>{markup}</dd>\n"


def _adding(question: InputQuestion, problem: Problem | None) -> str:
    """Return the checkbox with which the person adds the name. The browser does not send the form without the tick."""
    checked = " checked" if problem is not None and problem.adds else ""
    return f"""<label class="choice adds" for="adds"><input type="checkbox" id="adds" name="adds" value="{ADDS}"
 required autocomplete="off"{checked}{_described("adds", problem)}>
<span>Add <code>{_text(question.name)}</code> to this project's allowlist
<span class="note">Agents that work in this project can then use this secret.
The name is written to the project's file <code>.claude/secrets.yml</code>.</span></span></label>
"""


def _described(field: str, problem: Problem | None) -> str:
    """Return the attributes that connect a field with its problem."""
    return ' aria-invalid="true" aria-describedby="problem"' if problem is not None and problem.field == field else ""


def _choice(access: Access, chosen: Access, label: str, note: str) -> str:
    checked = " checked" if access is chosen else ""
    return (
        f'<label class="choice" for="{access}"><input type="radio" id="{access}" name="access" value="{access}"'
        f' autocomplete="off"{checked}><span>{_text(label)}<span class="note">{_text(note)}</span></span></label>'
    )


def _link(url: str) -> str:
    """Return the project's URL, as a link only if the shown text is exactly the link's target."""
    shown = plain(url, limit=_NOTE_LIMIT, mark="\ufffd")
    if shown == url and url.isascii() and url.startswith(("https://", "http://")):
        return f'<a href="{_text(url)}" target="_blank" rel="noopener noreferrer">{_text(url)}</a>'
    return _text(shown)


def _path(path: str) -> str:
    return _text(plain(path, mark="\ufffd"))


def _text(text: str) -> str:
    return html.escape(text, quote=True)
