"""Runs the program and sends it a signal at one moment: `python -P FILE REPORT NUMBER MOMENT ARGUMENTS…`.

A moment is a call or a return in Python. Counting begins when the program has set its handler for interrupts. The file
REPORT gets `sent`, or the number of moments if no signal was sent. The program itself does not know about this.
"""

import itertools
import os
import runpy
import sys
from pathlib import Path
from types import FrameType

report, number, moment = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
program = str(Path(__file__).with_name("program.py"))
sys.argv[:] = [program, *sys.argv[4:]]
passed = itertools.count(1)


def begin(frame: FrameType, event: str, _argument: object) -> None:
    if event == "return" and frame.f_code.co_qualname == "begin" and "interrupts" in frame.f_code.co_filename:
        sys.setprofile(count)


def count(_frame: FrameType, _event: str, _argument: object) -> None:
    if next(passed) == moment:
        sys.setprofile(None)
        report.write_text("sent")
        os.kill(os.getpid(), number)


def end(code: int) -> None:
    sys.setprofile(None)
    if moment == 0:
        report.write_text(str(next(passed)))
    leave(code)


leave, os._exit = os._exit, end  # type: ignore[assignment]
sys.path[0:0] = [str(Path(__file__).parent)]
sys.setprofile(begin)
runpy.run_path(program, run_name="__main__")
