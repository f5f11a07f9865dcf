"""Servers for WSGI applications: one that people use, and the standard library's."""

import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import waitress.server


class Waitress(threading.Thread):
    """Waitress in a thread, running one application."""

    def __init__(self, app):
        super().__init__(daemon=True)
        self.server = waitress.server.create_server(app, host="127.0.0.1", port=0, threads=24)
        self.port = self.server.effective_port

    def run(self):
        self.server.run()

    def stop(self):
        self.server.task_dispatcher.shutdown()
        self.server.trigger.pull_trigger(self.server.close)


class Threaded(ThreadingMixIn, WSGIServer):
    """The standard library's server, a thread a request."""

    daemon_threads = True
    request_queue_size = 64


class Quiet(WSGIRequestHandler):
    """One that keeps no log."""

    def log_message(self, *_):
        pass


class Reference(threading.Thread):
    """wsgiref in a thread, running one application."""

    def __init__(self, app):
        super().__init__(daemon=True)
        self.server = make_server("127.0.0.1", 0, app, Threaded, Quiet)
        self.port = self.server.server_port

    def run(self):
        self.server.serve_forever(0.01)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
