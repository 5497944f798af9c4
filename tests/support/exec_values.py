"""Values that the tests of `exec` store, and the command line that runs a program with them."""

from tests.support.machine import PROGRAM

TOKEN = "canary-" + "x1Yz" * 22
VALUES = {
    "PLAIN": "p",
    "SHELL_CODE": "$(touch x)`touch x`;touch x\n'\"\\ $HOME ${HOME}!x é\U0001f511\t\x01",
    "MULTI": "one\ntwo\r\nthree\n",
    "QUOTES": "'''\"\"\"''\\'\\",
}


def exec_words(*options: str) -> list[str]:
    return [*PROGRAM, "exec", "--redact", *options, "--"]
