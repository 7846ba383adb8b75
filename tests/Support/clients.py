"""Runs OpenStack's clients, which are slow to import, many times.

Started once, it imports them, says "ready" on a line of its own, and then reads requests from standard input, a JSON
object a line:

    {"id": 1, "program": "openstack", "argv": ["image", "list"], "env": {"HOME": "/tmp/x"}, "cwd": "/tmp", "limit": 60}

A program is openstack, glance, or the path of a Python script. Each runs in a fork of this process, so that nothing it
does is seen by the next, with a terminal as its standard input: the clients take image data from anything else. After
limit seconds it is killed. The answers are lines of JSON too, in the order in which the programs end; a signal that
ended one is its negative code:

    {"id": 1, "code": 0, "out": "...", "err": "..."}

End of input ends it.
"""
import importlib
import json
import os
import runpy
import selectors
import signal
import sys
import traceback

CLIENTS = {"openstack": "openstackclient.shell", "glance": "glanceclient.shell"}

# What the clients import only when a command needs it.
LATE = (
    "glanceclient.v2.client", "glanceclient.v2.shell", "glanceclient.v1.client", "glanceclient.v1.shell",
    "glanceclient.common.http", "keystoneclient.v3.client", "keystoneauth1.identity", "keystoneauth1.loading",
    "openstack", "openstack.connection", "openstack.image.v2._proxy", "openstackclient.image.client",
    "openstackclient.image.v2.image", "openstackclient.identity.v3.project", "openstackclient.identity.common",
    "cliff.formatters.table", "cliff.formatters.json_format", "cliff.formatters.value", "concurrent.futures.thread",
    "prettytable", "warlock", "jsonpatch", "encodings.idna", "http.cookiejar", "stringprep",
)


def warm():
    """Imports the clients, and has them read what is installed."""
    for name in (*CLIENTS.values(), *LATE):
        importlib.import_module(name)
    import stevedore._cache
    stevedore._cache.get_group_all("openstack.cli")
    from keystoneauth1 import loading
    loading.get_available_plugin_loaders()


def perform(request, out, err):
    """Becomes the program of a request; the fork's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.alarm(request["limit"])
    os.setsid()
    terminal = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    for target, source in enumerate((terminal, out, err)):
        os.dup2(source, target)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    program = request["program"]
    sys.argv = [program, *request["argv"]]
    try:
        if program in CLIENTS:
            code = sys.modules[CLIENTS[program]].main()
        else:
            runpy.run_path(program, run_name="__main__")
            code = 0
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 1
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def text(memory):
    """Everything that was written to a file in memory, which is closed."""
    with open(memory, "rb") as file:
        file.seek(0)
        return file.read().decode("utf-8", "replace")


def serve():
    """Answers requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    waiting = selectors.DefaultSelector()
    waiting.register(0, selectors.EVENT_READ)
    unread = b""
    answers.write("ready\n")
    while True:
        for key, _ in waiting.select():
            if key.fd == 0:
                data = os.read(0, 1 << 16)
                if not data:
                    return
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    request = json.loads(line)
                    out, err = os.memfd_create("out"), os.memfd_create("err")
                    child = os.fork()
                    if child == 0:
                        perform(request, out, err)
                    waiting.register(os.pidfd_open(child), selectors.EVENT_READ, (request["id"], child, out, err))
            else:
                identity, child, out, err = key.data
                waiting.unregister(key.fd)
                os.close(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                answers.write(json.dumps({"id": identity, "code": code, "out": text(out), "err": text(err)}) + "\n")


warm()
serve()
