#!/usr/bin/env python3
"""The other ends of a message, for tools/test-package.sh: an upstream that writes down what it gets, and a client.

    mail.py ports N                       N free ports
    mail.py sink PORT FILE                an SMTP server on loopback; the subject of each message becomes a line of the file
    mail.py knock PORT FILE               connects again and again until the file is there: each time somebody greets
    mail.py send PORT SECRET SUBJECT TLS  a message of the credential app; TLS is starttls or none
"""

import os
import smtplib
import socket
import socketserver
import ssl
import sys
import time


class Upstream(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda line: self.wfile.write(line.encode() + b"\r\n")
        say("220 sink.example ESMTP")
        for line in self.rfile:
            match line.decode(errors="replace").split()[:1]:
                case [word] if word.upper() == "EHLO":
                    say("250 sink.example")
                case [word] if word.upper() == "DATA":
                    say("354 go on")
                    for line in iter(self.rfile.readline, b".\r\n"):
                        if line.lower().startswith(b"subject: "):
                            with open(sys.argv[3], "a") as file:
                                file.write(line[9:].decode().strip() + "\n")
                    say("250 kept")
                case [word] if word.upper() == "QUIT":
                    return say("221 bye")
                case _:
                    say("250 ok")


def send(port, secret, subject, tls):
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        if tls == "starttls":
            # The certificate was made for this test; who signed it is not what is tested.
            client.starttls(context=ssl._create_unverified_context())
        client.login("app", secret)
        client.sendmail("app@example.net", ["rosa@example.org"],
                        f"From: app@example.net\r\nTo: rosa@example.org\r\nSubject: {subject}\r\n\r\nBy a package.\r\n")


def knock(port, until):
    """None is refused, whatever happens there; one that comes while nobody is there waits."""
    rounds = 0
    while not os.path.exists(until):
        with socket.create_connection(("127.0.0.1", port), timeout=120) as client:
            said = client.recv(512)
            assert said[:3] in (b"220", b"421"), f"connection {rounds}: {said!r}"
        rounds += 1
        time.sleep(0.02)
    print(rounds, "connections, none refused")


match sys.argv[1]:
    case "ports":
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[2]))]
        print(*(one.getsockname()[1] for one in held))
    case "sink":
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[2])), Upstream).serve_forever()
    case "knock":
        knock(int(sys.argv[2]), sys.argv[3])
    case "send":
        send(int(sys.argv[2]), *sys.argv[3:])
