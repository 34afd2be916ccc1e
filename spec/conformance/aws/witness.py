"""Stands between AWS's tools and the local Jobs service, and checks every answer that passes.

    witness.py SERVICE_URL        prints {"port": N} when it listens

It ends on SIGTERM and then tells its checks: one for each operation and outcome that it saw, and one
for each that it should have seen and did not.
"""

import http.client
import http.server
import json
import re
import signal
import sys
import threading
import urllib.parse

import report
import shapes

# Every operation that the service claims, with the errors that wrong requests must have brought.
CLAIMED = {
    "iot": {
        "CreateJob": ["InvalidRequestException", "ResourceAlreadyExistsException",
                      "ResourceNotFoundException"],
        "DescribeJob": ["ResourceNotFoundException"],
        "GetJobDocument": ["ResourceNotFoundException"],
        "ListJobs": ["InvalidRequestException"],
        "UpdateJob": ["InvalidRequestException", "ResourceNotFoundException"],
        "CancelJob": ["InvalidRequestException", "ResourceNotFoundException"],
        "DeleteJob": ["InvalidStateTransitionException", "ResourceNotFoundException"],
        "ListJobExecutionsForJob": ["InvalidRequestException", "ResourceNotFoundException"],
        "ListJobExecutionsForThing": ["InvalidRequestException"],
        "DescribeJobExecution": ["ResourceNotFoundException"],
        "CancelJobExecution": ["InvalidRequestException", "InvalidStateTransitionException",
                               "ResourceNotFoundException", "VersionConflictException"],
        "DeleteJobExecution": ["InvalidStateTransitionException", "ResourceNotFoundException"],
        "AssociateTargetsWithJob": ["InvalidRequestException", "ResourceNotFoundException"],
        "CreateThing": ["InvalidRequestException", "ResourceAlreadyExistsException"],
        "DescribeThing": ["ResourceNotFoundException"],
        "ListThings": ["InvalidRequestException"],
        "CreateThingGroup": ["InvalidRequestException", "ResourceAlreadyExistsException"],
        "AddThingToThingGroup": ["InvalidRequestException", "ResourceNotFoundException"],
        "DescribeEndpoint": ["InvalidRequestException"],
        "ListManagedJobTemplates": ["InvalidRequestException"],
        "DescribeManagedJobTemplate": ["ResourceNotFoundException"],
    },
    "iot-jobs-data": {
        "DescribeJobExecution": ["InvalidRequestException", "ResourceNotFoundException",
                                 "TerminalStateException"],
        "GetPendingJobExecutions": [],
        "StartNextPendingJobExecution": ["InvalidRequestException"],
        "UpdateJobExecution": ["InvalidRequestException", "InvalidStateTransitionException",
                               "ResourceNotFoundException"],
    },
}

NO_ROUTE = b"Nothing answers "  # the service's words for a path that it does not know
SECONDS = 20
OWN_HEADERS = {"host", "connection", "content-length", "transfer-encoding", "expect"}


class Book:
    """What was seen: (service, operation, outcome) -> number of answers, and what was wrong."""

    def __init__(self):
        self.models = {service: shapes.Model(service) for service in CLAIMED}
        self.seen = {}
        self.lock = threading.Lock()

    def add(self, request, status, headers, body):
        service = "iot-jobs-data" if "/iot-jobs-data/" in request["authorization"] else "iot"
        model = self.models[service]
        path = urllib.parse.unquote(request["path"].split("?")[0])
        name = model.operation(request["method"], path)
        if not name:
            key = (service, f"{request['method']} {path}", "no operation")
            findings = ["the model has no such operation"]
        else:
            outcome = "answer"
            if status >= 300:
                outcome = model.error_type(headers, body) or f"status {status}"
            key, findings = (service, name, outcome), model.check(name, status, headers, body)
            if status >= 300 and NO_ROUTE in body:
                key = (service, name, "no such path")
                findings.append("the service does not have this operation")
        with self.lock:
            entry = self.seen.setdefault(key, {"count": 0, "findings": {}})
            entry["count"] += 1
            for finding in findings:  # the same one in many answers is one
                entry["findings"].setdefault(re.sub(r"\d+", "N", finding), finding)

    def tell(self):
        for (service, name, outcome), entry in sorted(self.seen.items()):
            findings = list(entry["findings"].values())
            report.tell(f"{service} {name}, {outcome}: {entry['count']} fit the model",
                        not findings, "; ".join(findings[:6]))
        for service, operations in CLAIMED.items():
            for name, errors in operations.items():
                missing = [outcome for outcome in ["answer"] + errors
                           if (service, name, outcome) not in self.seen]
                report.tell(f"{service} {name}: every outcome was seen", not missing,
                            "never seen: " + ", ".join(missing))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def forward(self):
        length = int(self.headers.get("Content-Length") or 0)
        sent = self.rfile.read(length) if length else None
        headers = {k: v for k, v in self.headers.items() if k.lower() not in OWN_HEADERS}
        connection = http.client.HTTPConnection(*self.server.upstream, timeout=SECONDS)
        try:
            connection.request(self.command, self.path, body=sent, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        except OSError as error:
            self.send_error(502, f"the service did not answer: {error}")
            return
        finally:
            connection.close()
        self.server.book.add(
            {"method": self.command, "path": self.path,
             "authorization": self.headers.get("Authorization") or ""},
            answer.status, {k.lower(): v for k, v in answer.getheaders()}, body)
        self.send_response_only(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in OWN_HEADERS:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = forward


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, _request, _address):
        pass  # a client that went away


def main():
    service = urllib.parse.urlsplit(sys.argv[1])
    server = Server(("127.0.0.1", 0), Handler)
    server.upstream = (service.hostname, service.port)
    server.book = Book()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    server.serve_forever(poll_interval=0.05)
    server.book.tell()
    report.end()


if __name__ == "__main__":
    main()
