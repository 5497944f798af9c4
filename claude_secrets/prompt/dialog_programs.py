"""Dialog programs: how each is called, so that it shows a text as it is, and what its answers mean.

Always: pure; what is asked is data for the program, never an option, markup or script source; only what a person chose
themselves is a yes.
"""

import base64
import html
import textwrap
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

_WIDTH = 80
"""Characters of a line; some dialogs do not wrap, so that words and buttons would be off the screen."""


class DialogAnswer(StrEnum):
    """What a person said; `NONE` if nobody answered in time, nobody could be asked, or we cancelled it."""

    YES = "yes"
    NO = "no"
    NONE = "none"


class Asked(NamedTuple):
    """What a dialog shows; `hidden` if it is to read a value instead of a yes or no."""

    hidden: bool
    title: str
    text: str


class Family(NamedTuple):
    """How the dialogs of one kind of program are called and understood."""

    words: Callable[[Asked], list[str]]
    """Its arguments."""
    answers: Mapping[tuple[int, bytes], DialogAnswer]
    """What its exit code and output mean after a question; any others mean that nobody answered."""
    entered: int
    """The exit code with which input was entered."""
    given: Callable[[Asked], bytes] = lambda _asked: b""
    """Its standard input."""
    environment: Mapping[str, str] = MappingProxyType({})


_UTF8 = {"LC_ALL": "C.UTF-8", "CHARSET": "UTF-8"}
"""In another encoding they put question marks for what it lacks. CHARSET is GLib's, and goes before the locale, which
the machine may lack."""


def _zenity(asked: Asked) -> list[str]:
    if not asked.hidden:
        return ["--question", "--no-markup", "--default-cancel", f"--title={asked.title}", f"--text={asked.text}"]
    # The entry has no markup to switch off, but C escapes and mnemonics.
    shown = _wrapped(asked.text).replace("\\", "\\\\").replace("_", "__")
    return ["--entry", "--hide-text", f"--title={asked.title}", f"--text={shown}"]


# Codes of our own: without them one of its errors (no display) looks like a No, and whoever can set these variables
# for us could make Escape a Yes.
ZENITY = Family(
    words=_zenity,
    environment=_UTF8
    | {
        "ZENITY_OK": "64",
        "ZENITY_CANCEL": "65",
        "ZENITY_ESC": "66",
        "ZENITY_TIMEOUT": "67",
        "ZENITY_ERROR": "68",
        "ZENITY_EXTRA": "69",
    },
    answers={(64, b""): DialogAnswer.YES, (65, b""): DialogAnswer.NO, (66, b""): DialogAnswer.NO},
    entered=64,
)


def _kdialog(asked: Asked) -> list[str]:
    # Qt guesses whether a text is markup, so it always is, with everything escaped; backslashes are kdialog's own.
    lines = html.escape(_wrapped(asked.text)).replace("\\", "\\\\").replace("\n", "<br/>")
    shown = f'<p style="white-space:pre-wrap">{lines}</p>'
    # Qt takes [*] in a window's title for the mark of a changed document, a doubled one for itself.
    named = f"--title={asked.title.replace('[*]', '[*][*]')}"
    if asked.hidden:
        return [named, f"--password={shown}"]
    # Not --yesno: Yes is the default of all of its kinds, and no option changes that.
    return [named, "--default=No", f"--menu={shown}", "--", "no", "No", "yes", "Yes"]


KDIALOG = Family(
    words=_kdialog,
    environment=_UTF8,
    answers={
        (0, b"yes\n"): DialogAnswer.YES,
        (0, b"no\n"): DialogAnswer.NO,
        (1, b""): DialogAnswer.NO,  # Cancel, Escape, a closed window
    },
    entered=0,
)

_OSASCRIPT_CONFIRM = """\
on run argv
try
activate
end try
try
set theText to item 3 of argv
set theTitle to item 2 of argv
set theReply to display dialog theText with title theTitle buttons {"No", "Yes"} default button "No" cancel button "No"
if button returned of theReply is "Yes" then return "yes"
return "no"
on error number -128
return "no"
end try
end run
"""

_OSASCRIPT_HIDDEN = """\
on run argv
try
activate
end try
set theText to item 3 of argv
set theTitle to item 2 of argv
set theReply to display dialog theText with title theTitle default answer "" buttons {"Cancel", "OK"} \
default button "OK" cancel button "Cancel" with hidden answer
return text returned of theReply
end run
"""


def _osascript(asked: Asked) -> list[str]:
    # The word after the script ends osascript's options, whatever the title begins with.
    return ["-e", _OSASCRIPT_HIDDEN if asked.hidden else _OSASCRIPT_CONFIRM, "ask", asked.title, asked.text]


_SPOKEN = {(0, b"yes\n"): DialogAnswer.YES, (0, b"no\n"): DialogAnswer.NO}

OSASCRIPT = Family(words=_osascript, answers=_SPOKEN, entered=0)

# Without double quotes, which Windows and PowerShell each understand in their own way on a command line.
_POWERSHELL_SCRIPT = """\
$ErrorActionPreference = 'Stop'
$given = @($input)
if ($given.Count -lt 3) { $given = [Console]::In.ReadToEnd().Split([char]10) }
$words = @($given | ForEach-Object { [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($_)) })
$hidden = $words[0] -eq 'hidden'
Add-Type -AssemblyName System.Windows.Forms
Add-Type -AssemblyName System.Drawing
$form = New-Object Windows.Forms.Form
$form.Text = $words[1]
$form.TopMost = $true
$form.StartPosition = 'CenterScreen'
$form.FormBorderStyle = 'FixedDialog'
$form.MaximizeBox = $false
$form.MinimizeBox = $false
$form.AutoSize = $true
$form.AutoSizeMode = 'GrowAndShrink'
$rows = New-Object Windows.Forms.FlowLayoutPanel
$rows.FlowDirection = 'TopDown'
$rows.AutoSize = $true
$rows.Padding = New-Object Windows.Forms.Padding(12)
$label = New-Object Windows.Forms.Label
$label.UseMnemonic = $false
$label.AutoSize = $true
$label.MaximumSize = New-Object Drawing.Size(480, 0)
$label.Text = $words[2]
$rows.Controls.Add($label)
$box = New-Object Windows.Forms.TextBox
$box.UseSystemPasswordChar = $true
$box.MaxLength = 0
$box.Width = 480
if ($hidden) { $rows.Controls.Add($box) }
$buttons = New-Object Windows.Forms.FlowLayoutPanel
$buttons.AutoSize = $true
$yes = New-Object Windows.Forms.Button
$yes.Text = if ($hidden) { 'OK' } else { 'Yes' }
$yes.DialogResult = 'OK'
$no = New-Object Windows.Forms.Button
$no.Text = if ($hidden) { 'Cancel' } else { 'No' }
$no.DialogResult = 'Cancel'
$buttons.Controls.Add($yes)
$buttons.Controls.Add($no)
$rows.Controls.Add($buttons)
$form.Controls.Add($rows)
$form.CancelButton = $no
$form.AcceptButton = if ($hidden) { $yes } else { $no }
$form.ActiveControl = if ($hidden) { $box } else { $no }
$form.Add_Shown({ $form.Activate() })
$chosen = $form.ShowDialog() -eq 'OK'
if ($hidden -and -not $chosen) { exit 1 }
$said = if ($hidden) { $box.Text } elseif ($chosen) { 'yes' } else { 'no' }
$bytes = [Text.Encoding]::UTF8.GetBytes($said + [char]10)
$stream = [Console]::OpenStandardOutput()
$stream.Write($bytes, 0, $bytes.Length)
$stream.Flush()
exit 0
"""


def _powershell(_asked: Asked) -> list[str]:
    return ["-NoLogo", "-NoProfile", "-NonInteractive", "-STA", "-Command", _POWERSHELL_SCRIPT]


def _powershell_given(asked: Asked) -> bytes:
    # In ASCII: the console's code page, which is the encoding of standard input, has no part in it.
    words = ("hidden" if asked.hidden else "confirm", asked.title, asked.text)
    return b"".join(base64.b64encode(word.encode("utf-8")) + b"\n" for word in words)


POWERSHELL = Family(words=_powershell, given=_powershell_given, answers=_SPOKEN, entered=0)


def _wrapped(text: str) -> str:
    return "\n".join(
        textwrap.fill(line, _WIDTH, replace_whitespace=False, drop_whitespace=False, break_on_hyphens=False)
        for line in text.split("\n")
    )
