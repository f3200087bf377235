#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A node that answers each request with the next answer of a list, the last one ever after.

Usage: scripted.py SOCKET ANSWER... An answer is a text (\\n: a new line), or an error: -CODE sentence.
Ends when standard input does.
"""

import os
import socket
import sys
import threading


def encode(answer):
    if answer.startswith("-"):
        return answer.encode() + b"\r\n"
    text = answer.replace("\\n", "\r\n").encode()
    return b"$%d\r\n%s\r\n" % (len(text), text)


def serve(listener, answers):
    while True:
        client, _ = listener.accept()
        with client:
            # weirctl asks for one thing at a time, in one segment.
            while client.recv(65536):
                client.sendall(encode(answers[0]))
                if len(answers) > 1:
                    del answers[0]


def main():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen()
    threading.Thread(target=serve, args=(listener, sys.argv[2:]), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    os.unlink(sys.argv[1])


main()
