# SPDX-License-Identifier: Apache-2.0
"""status --watch on a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

import pytest

pytestmark = pytest.mark.switch


def read_for(fd, seconds):
    """What comes within that time."""
    end = time.monotonic() + seconds
    text = b""
    while True:
        left = end - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            return text.decode()
        try:
            text += os.read(fd, 65536)
        except OSError:
            return text.decode()


def resize(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0,
                                                    0))


def frames(text):
    """Frames as lists of lines."""
    return [re.sub(r"\x1b\[\??[0-9]*[a-zA-Z]", "", frame).split("\r\n")
            for frame in text.split("\x1b[H")[1:]]


def test_watch(module_lab):
    lab = module_lab
    for server in lab.servers:
        lab.serve(server, 8080)
    lab.lbgen("apply", lab.pool_yaml([3, 2, 2], server_port=8080))
    ours, theirs = pty.openpty()
    resize(ours, 20, 100)
    process = lab.popen(lab.netns, lab.lbgen_path(), "status", "-b", "br0",
                        "--watch", stdin=theirs, stdout=theirs,
                        stderr=theirs)
    first = frames(read_for(ours, 1.5))
    assert "web  10.0.0.100:80/tcp" in first[0][2]
    assert re.search(r"s1 .*ready .* 42\.97%", first[0][3])
    lab.connect("c1", "10.0.0.100", 80, 300)
    text = read_for(ours, 2)
    # Nothing is erased first.
    assert "\x1b[2J" not in text
    rates = [re.findall(r"(\d+) /s", line) for frame in frames(text)
             for line in frame if " s1 " in line]
    assert any(rate and int(rate[0]) > 0 for rate in rates), text

    resize(ours, 5, 60)
    os.kill(process.pid, signal.SIGWINCH)
    read_for(ours, 0.3)
    for frame in frames(read_for(ours, 1.5)):
        assert len(frame) <= 5
        assert all(len(line) < 60 for line in frame), frame
    os.write(ours, b"q")
    assert process.wait(10) == 0
    assert read_for(ours, 0.3).endswith("\x1b[?25h\x1b[?1049l")


def test_no_terminal(module_lab):
    result = module_lab.lbgen("status", "-b", "br0", "--watch", check=1)
    assert "--watch needs a terminal" in result.stderr


def test_no_such_pool(module_lab):
    lab = module_lab
    ours, theirs = pty.openpty()
    process = lab.popen(lab.netns, lab.lbgen_path(), "status", "-b", "br0",
                        "--watch", "shop", stdin=theirs, stdout=theirs,
                        stderr=theirs)
    assert process.wait(10) == 1
    assert 'lbgen: bridge "br0" has no pool "shop"' in read_for(ours, 0.3)
