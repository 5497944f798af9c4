"""The real server with short waits: `python -m tests.support.hasty_server PAGE_SECONDS [OPTION]`.

Calls wait one second for the person. With `--broken` the gate fails with an exception that contains the call. With
`--never-asks` the server behaves as if an agent started it. With `--unseen` the system does not show who visits a page.
"""

import os
import sys
from functools import partial

from claude_secrets.agent import gate
from claude_secrets.model import Call
from claude_secrets.policy.config import Trust
from claude_secrets.prompt import peer_user
from claude_secrets.prompt.page import InputPage
from claude_secrets.prompt.peer_user import UnseenError
from claude_secrets.server import app, ask_consent, ask_value
from tests.support.program import bar_own_keyring, replace_system


def broken_call(_gate: object, call: Call, *_: object, client: str) -> None:
    raise RuntimeError(call.value)


def unseen(_listening: object) -> None:
    raise UnseenError


if __name__ == "__main__":
    bar_own_keyring()
    replace_system()
    vars(ask_value).update(CALL_SECONDS=1.0, InputPage=partial(InputPage, lifetime=float(sys.argv[1])))
    vars(ask_consent).update(QUESTION_SECONDS=1.0)
    if "--broken" in sys.argv:
        vars(gate)["Gate"].call = broken_call
    if "--unseen" in sys.argv:
        vars(peer_user).update(require_table=unseen)
    app.run(None, None, os.environ, Trust.OFF, None, bound=False, asks="--never-asks" not in sys.argv)
