"""A process in a pseudo-terminal of its own."""

import fcntl
import os
import pty
import select
import struct
import termios
import time

from forked import COMMAND, WITH_TEST_HELPERS, Forked


class Terminal:
    """A running process, and what it draws.

    Attributes:
        output: the bytes so far.
    """

    def __init__(self, words, columns=100, lines=60, kind="xterm", **options):
        self.reader, self.writer = pty.openpty()
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self.writer, termios.TIOCSWINSZ, size)
        self.before = termios.tcgetattr(self.writer)
        environment = {k: v for k, v in WITH_TEST_HELPERS.items() if k not in ("COLUMNS", "LINES")}
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), self.writer)
        environment |= {"TERM": kind}
        self.process = Forked(words, env=environment, start_new_session=True, **streams, **options)
        self.output = b""

    @property
    def text(self):
        return self.output.decode(errors="replace")

    @property
    def is_restored(self):
        """Whether the terminal is as it was found: its mode, its screen, its cursor."""
        pairs = ((b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?25l", b"\x1b[?25h"))
        balanced = all(self.output.count(a) <= self.output.count(b) for a, b in pairs)
        return balanced and termios.tcgetattr(self.writer) == self.before

    def until(self, text):
        """Read until the output has `text`, the process has ended, or five minutes have passed."""
        end = time.monotonic() + 300
        while text not in self.text and time.monotonic() < end:
            if select.select([self.reader], [], [], 0.05)[0]:
                self.output += os.read(self.reader, 65536)
            elif self.process.poll() is not None:
                break
        return self.text

    def press(self, keys):
        os.write(self.reader, keys.encode())

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.reader)
        os.close(self.writer)


def trackside(*arguments, **options):
    """`trackside …` in a terminal."""
    return Terminal([COMMAND, *map(str, arguments)], **options)
