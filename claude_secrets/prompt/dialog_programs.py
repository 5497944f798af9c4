"""Dialog programs: how to call each program so that it shows a text unchanged, and how to read its answer.

Always: this module does no input or output. A program gets the question as data, never as an option, markup or script
source. Only the person's own choice counts as a Yes.
"""

import base64
import html
import textwrap
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

_WIDTH = 80
"""Characters of a line. Some dialogs do not wrap, and a long line would push words and buttons off the screen."""


class DialogAnswer(StrEnum):
    """A person's answer. `NONE`: nobody answered in time, nobody could be asked, or we cancelled the dialog."""

    YES = "yes"
    NO = "no"
    NONE = "none"


class Asked(NamedTuple):
    """A dialog's title and text. If `hidden` is true, the dialog asks for a hidden value, otherwise for Yes or No."""

    hidden: bool
    title: str
    text: str


class Family(NamedTuple):
    """How to call one dialog program, and how to interpret its result."""

    words: Callable[[Asked], list[str]]
    """The program's arguments."""
    answers: Mapping[tuple[int, bytes], DialogAnswer]
    """The answer for each pair of exit code and output. Any other pair means that nobody answered."""
    entered: int
    """The program's exit code if the person entered a value."""
    given: Callable[[Asked], bytes] = lambda _asked: b""
    """The program's standard input."""
    environment: Mapping[str, str] = MappingProxyType({})


_UTF8 = {"LC_ALL": "C.UTF-8", "CHARSET": "UTF-8"}
"""In another encoding, the programs show some characters as question marks. CHARSET is a
variable of GLib; it works even if the machine does not have the locale C.UTF-8."""


def _zenity(asked: Asked) -> list[str]:
    if not asked.hidden:
        return ["--question", "--no-markup", "--default-cancel", f"--title={asked.title}", f"--text={asked.text}"]
    # --entry does not read markup, but it reads C escapes and mnemonics.
    shown = _wrapped(asked.text).replace("\\", "\\\\").replace("_", "__")
    return ["--entry", "--hide-text", f"--title={asked.title}", f"--text={shown}"]


# We choose the exit codes. Otherwise an error (no display) would look like a No, and anyone who can set our variables
# could turn Escape into a Yes.
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
    # Qt guesses whether a text is markup, so we always send markup, with everything escaped. kdialog itself reads
    # backslashes as escapes.
    lines = html.escape(_wrapped(asked.text)).replace("\\", "\\\\").replace("\n", "<br/>")
    shown = f'<p style="white-space:pre-wrap">{lines}</p>'
    # In a window's title, Qt reads [*] as the mark of a changed document and shows [*][*] as [*].
    named = f"--title={asked.title.replace('[*]', '[*][*]')}"
    if asked.hidden:
        return [named, f"--password={shown}"]
    # --yesno is not used: Yes is the default in all its variants, and no option changes this default.
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
    # The word after the script ends osascript's options, so a title may begin with a dash.
    return ["-e", _OSASCRIPT_HIDDEN if asked.hidden else _OSASCRIPT_CONFIRM, "ask", asked.title, asked.text]


_SPOKEN = {(0, b"yes\n"): DialogAnswer.YES, (0, b"no\n"): DialogAnswer.NO}

OSASCRIPT = Family(words=_osascript, answers=_SPOKEN, entered=0)

# The script has no double quotes, because Windows and PowerShell read them differently on a command line.
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
    # Base64 is ASCII, so the console's code page (the encoding of standard input) does not matter.
    words = ("hidden" if asked.hidden else "confirm", asked.title, asked.text)
    return b"".join(base64.b64encode(word.encode("utf-8")) + b"\n" for word in words)


POWERSHELL = Family(words=_powershell, given=_powershell_given, answers=_SPOKEN, entered=0)


def _wrapped(text: str) -> str:
    return "\n".join(
        textwrap.fill(line, _WIDTH, replace_whitespace=False, drop_whitespace=False, break_on_hyphens=False)
        for line in text.split("\n")
    )
