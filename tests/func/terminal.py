# SPDX-License-Identifier: Apache-2.0
"""A person at a terminal: an interactive bash on a pseudo-terminal runs
programs through Brood; Ctrl-C, Ctrl-Z, fg, window size and a read from the
terminal work as with a plain start."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

import warm

TAP = warm.Tap()
MIRROR = os.path.join(os.environ["BUILD"], "tests/programs/mirror")


class Terminal:
    """bash --norc on a pseudo-terminal of its own."""

    def __init__(self):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["PS1"] = "ready> "
            os.environ["TERM"] = "dumb"
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.text = ""
        self.expect("ready> ")

    def read_some(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                self.text += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:
                pass

    def expect(self, words, seconds=15):
        """What came up to and with words; None if they do not come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(words, self.text)
            if found:
                seen = self.text[:found.end()]
                self.text = self.text[found.end():]
                return seen
            self.read_some(0.1)
        return None

    def type(self, words):
        os.write(self.fd, words.encode())

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))

    def close(self):
        # One that takes a hang-up as one more signal would stay.
        try:
            in_front = os.tcgetpgrp(self.fd)
        except OSError:
            in_front = 0
        for pid in {self.pid, -in_front if in_front > 1 else self.pid}:
            try:
                os.kill(pid, signal.SIGHUP)
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def command(via, *words):
    return " ".join([warm.BROOD, "launch", "--via", via, MIRROR, *words])


def check_interrupt(via):
    t = Terminal()
    t.type(command(via, "sleep") + "; echo status=$?\n")
    time.sleep(0.7)
    t.type("\x03")
    # a bash whose foreground job died of SIGINT breaks the list off
    seen = t.expect(r"\^C[\s\S]*ready> ", 15)
    TAP.ok(seen is not None, f"{via}: Ctrl-C ends it", t.text)
    t.type("echo status=$?\n")
    TAP.ok(t.expect(r"status=130", 10), f"{via}: the shell sees 130", t.text)
    t.close()


def check_stop(via):
    t = Terminal()
    t.type(command(via, "cat") + "\n")
    time.sleep(0.7)
    t.type("first\n")
    TAP.ok(t.expect(r"first\r?\nfirst"), f"{via}: reads the terminal", t.text)
    t.type("\x1a")
    TAP.ok(t.expect(r"Stopped"), f"{via}: Ctrl-Z stops it", t.text)
    t.type("echo between\n")
    t.expect(r"between\r?\nbetween|\nbetween")
    t.type("fg\n")
    time.sleep(0.4)
    t.type("second\n")
    TAP.ok(t.expect(r"second\r?\nsecond"), f"{via}: fg goes on", t.text)
    t.type("\x04")
    TAP.ok(t.expect(r"ready> "), f"{via}: Ctrl-D ends it", t.text)
    t.close()


def check_window(via):
    t = Terminal()
    t.type(command(via, "listen") + "\n")
    t.expect("listening")
    t.resize(33, 77)
    TAP.ok(t.expect("sig 28"), f"{via}: a new window size is told", t.text)
    t.type("\x1c")
    TAP.ok(t.expect("sig 03"), f"{via}: Ctrl-\\ arrives", t.text)
    os.system(f"true")
    t.close()


def check_python():
    """An interactive interpreter: line editing, prompt, exit status."""
    served = warm.serve("/usr/bin/python3")
    if served.status != 0:
        TAP.skip("python at a terminal", served.err.decode().strip())
        return
    t = Terminal()
    t.type(f"{warm.BROOD} launch --via hatch /usr/bin/python3 -q\n")
    seen = t.expect(r">>> ")
    t.type("6*7\n")
    TAP.ok(seen and t.expect(r"\n42"), "hatch: python's prompt", t.text)
    t.type("import os; os.isatty(0), os.getsid(0) == os.getpid()\n")
    TAP.ok(t.expect(r"\(True, False\)"), "hatch: in the shell's session",
           t.text)
    t.type("exit(5)\n")
    t.expect("ready> ")
    t.type("echo status=$?\n")
    TAP.ok(t.expect("status=5"), "hatch: its status reaches the shell",
           t.text)
    t.close()


def check_auto():
    """At a terminal nobody has to choose: auto never takes the clone."""
    t = Terminal()
    report = warm.new_report()
    t.type(f"{warm.BROOD} launch --report {report} {MIRROR} exit 3\n")
    seen = warm.wait_until(lambda: warm.read_report(report))
    TAP.ok(seen and seen["way"] == "hatch", "auto: hatch at a terminal", seen)
    t.close()


def check_progress():
    """Who waits for a template sees that, until it is over."""
    program = os.path.join(os.environ["BUILD"], "tests/programs/moody")
    mood = os.path.join(warm.SHM, "mood")
    with open(mood, "w") as f:
        f.write("h")
    words = f"{warm.BROOD} serve --ready 1s --env MOODY_FILE={mood} {program}"
    t = Terminal()
    t.type(words + "\n")
    seen = t.expect(r"starting \S*moody: [01]\.\d s")
    end = t.expect(r"\r\x1b\[Kbrood: [^\r]*template of ")
    TAP.ok(seen and end, "serve: a line while it waits, wiped at the end",
           (seen, end, t.text))
    t.close()
    quiet = warm.run(words.split())
    TAP.ok(quiet.status == 111 and b"starting" not in quiet.err and
           b"\x1b" not in quiet.err, "and none where nobody looks on", quiet)


def main():
    served = warm.serve(MIRROR)
    TAP.ok(served.status == 0, "served", served)
    for via in ("exec", "hatch"):
        check_interrupt(via)
        check_stop(via)
        check_window(via)
    check_auto()
    check_python()
    check_progress()
    warm.stop_all()
    TAP.done()


if __name__ == "__main__":
    main()
