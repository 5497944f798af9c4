"""After a session in which every code appears, no value or key stands anywhere but where it belongs."""

import base64
import json
import urllib.parse
import urllib.request

VALUE = "canary-value-6b1f9e/+=?&%~ü"
TYPED = "canary-typed-c0ffee/+=?&%~ü"
FORMS = 12
"""Characters of an encoded form that must not be found: enough to be no accident."""


def forms(secret: str) -> set[bytes]:
    """A secret as it is and in base64 (three alignments, both alphabets), hexadecimal and percent-encoding."""
    raw = secret.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(), urllib.parse.quote(secret, safe="").encode()}
    found.add(json.dumps(secret)[1:-1].encode())
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(b"\x00" * shift + raw)
            found.add(encoded[4 * (shift > 0) : len(encoded) - 4][: FORMS * 2])
    return found
