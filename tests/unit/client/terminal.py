#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs a program that draws on a terminal, strikes a key, and says what it left.

Usage: terminal.py KEY PROGRAM ARGUMENT...
"""

import os
import pty
import sys
import termios


def read_until(terminal, text, drawn=b""):
    while text not in drawn:
        drawn += os.read(terminal, 65536)
    return drawn


def main():
    key = sys.argv[1].encode().decode("unicode_escape").encode()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.argv[2], sys.argv[2:])
    # From a second picture on it is drawn over the first.
    drawn = read_until(terminal, b"\033[J\033[H")
    print("drawn in place" if drawn.count(b"\033[2J") == 1 else "drawn anew")
    changed = termios.tcgetattr(terminal)[3]
    print("keys are read" if not changed & (termios.ECHO | termios.ICANON) else "keys are echoed")
    os.write(terminal, key)
    read_until(terminal, b"\033[?25h")
    print("cursor shown")
    _, status = os.waitpid(pid, 0)
    left = termios.tcgetattr(terminal)[3]
    whole = termios.ECHO | termios.ICANON | termios.ISIG
    print("terminal as before" if left & whole == whole else "terminal spoilt")
    print("exit status", os.waitstatus_to_exitcode(status))


main()
