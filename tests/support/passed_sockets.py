"""Holds UDP sockets and starts a program with them, again and again, as systemd does.

usage: passed_sockets.py IP:PORT,... COMMAND...

SIGHUP restarts the program, SIGTERM ends both.
"""

import os
import signal
import socket
import sys

sockets = []
for place in sys.argv[1].split(","):
    host, port = place.split(":")
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((host, int(port)))
    # Beyond the numbers that the program is to find them under.
    high = 100 + len(sockets)
    os.dup2(one.fileno(), high)
    one.detach()
    sockets.append(high)

child = 0
ending = False


def forward(number, _frame):
    global ending
    if number == signal.SIGTERM:
        ending = True
    os.kill(child, signal.SIGTERM)


signals = (signal.SIGTERM, signal.SIGHUP)
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
for one in signals:
    signal.signal(one, forward)
while True:
    child = os.fork()
    if child == 0:
        for one in signals:
            signal.signal(one, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        for index, one in enumerate(sockets):
            os.dup2(one, 3 + index, inheritable=True)
        os.environ["LISTEN_FDS"] = str(len(sockets))
        os.environ["LISTEN_PID"] = str(os.getpid())
        os.execvp(sys.argv[2], sys.argv[2:])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    _, status = os.waitpid(child, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    if ending or os.waitstatus_to_exitcode(status) == 2:
        sys.exit(max(0, os.waitstatus_to_exitcode(status)))
