"""Debian's AWS CLI against the local Jobs service: a run of its commands, as a person types them.

    cli.py WORLD.json
"""

import json
import subprocess
import sys

from report import Different, check, end, same

AWS = "/usr/bin/aws"
ARN = "arn:aws:iot:us-east-1:123456789012:"
SECONDS = 60


class Cli:
    def __init__(self, world):
        self.url = world["aws_url"]

    def run(self, *words):
        return subprocess.run(
            [AWS, *words, "--endpoint-url", self.url, "--output", "json", "--no-cli-pager"],
            capture_output=True, text=True, timeout=SECONDS, check=False)

    def __call__(self, *words):
        """A command that works: what it prints, decoded."""
        done = self.run(*words)
        if done.returncode != 0:
            raise Different(f"aws {' '.join(words)}", "exit status 0",
                            f"{done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def fails(self, code, *words):
        """A command that the service refuses with that error."""
        done = self.run(*words)
        if done.returncode == 0 or f"({code})" not in done.stderr:
            raise Different(f"aws {' '.join(words)}", f"an error ({code})",
                            f"{done.returncode}: {done.stderr.strip() or done.stdout.strip()}")


def jobs(aws):
    def create():
        got = aws("iot", "create-job", "--job-id", "cli-1", "--targets", f"{ARN}thing/cli-gw",
                  "--document", '{"operation":"greet"}', "--description", "by hand",
                  "--timeout-config", "inProgressTimeoutInMinutes=5")
        same(got, {"jobArn": f"{ARN}job/cli-1", "jobId": "cli-1", "description": "by hand"})
        aws("iot", "create-job", "--job-id", "cli-2", "--targets", f"{ARN}thing/cli-gw",
            "--document", '{"operation":"greet"}')

    def describe_execution():
        got = aws("iot", "describe-job-execution", "--job-id", "cli-1", "--thing-name",
                  "cli-gw")["execution"]
        same([got["jobId"], got["status"], got["thingArn"], got["versionNumber"],
              got["executionNumber"]], ["cli-1", "QUEUED", f"{ARN}thing/cli-gw", 1, 1])

    def of_thing(status=None):
        words = ["--status", status] if status else []
        got = aws("iot", "list-job-executions-for-thing", "--thing-name", "cli-gw", *words)
        return {e["jobId"]: e["jobExecutionSummary"]["status"] for e in got["executionSummaries"]}

    def cancel():
        aws("iot-jobs-data", "start-next-pending-job-execution", "--thing-name", "cli-gw")
        same(of_thing(), {"cli-1": "IN_PROGRESS", "cli-2": "QUEUED"})
        got = aws("iot", "cancel-job", "--job-id", "cli-1", "--force", "--comment", "no more")
        same(got["jobId"], "cli-1")
        same(of_thing("CANCELED"), {"cli-1": "CANCELED"})

    def list_jobs():
        got = aws("iot", "list-jobs", "--status", "CANCELED", "--page-size", "1")
        same([j["jobId"] for j in got["jobs"] if j["jobId"].startswith("cli-")], ["cli-1"])

    check("create-job", create)
    check("describe-job-execution", describe_execution)
    check("list-job-executions-for-thing", lambda: same(
        of_thing(), {"cli-1": "QUEUED", "cli-2": "QUEUED"}))
    check("cancel-job --force of one that has started", cancel)
    check("describe-job", lambda: same(
        aws("iot", "describe-job", "--job-id", "cli-1")["job"]["status"], "CANCELED"))
    check("get-job-document", lambda: same(
        aws("iot", "get-job-document", "--job-id", "cli-1")["document"], '{"operation":"greet"}'))
    check("list-jobs by status, one a page", list_jobs)
    check("list-job-executions-for-job", lambda: same(
        [e["thingArn"] for e in aws("iot", "list-job-executions-for-job", "--job-id",
                                    "cli-2")["executionSummaries"]], [f"{ARN}thing/cli-gw"]))


def data_plane(aws):
    def finish():
        got = aws("iot-jobs-data", "update-job-execution", "--job-id", "cli-2", "--thing-name",
                  "cli-gw", "--status", "SUCCEEDED", "--include-job-execution-state",
                  "--status-details", "done=yes")
        same(got["executionState"], {"status": "SUCCEEDED", "versionNumber": 2,
                                     "statusDetails": {"done": "yes"}})

    check("iot-jobs-data get-pending-job-executions", lambda: same(
        [e["jobId"] for e in aws("iot-jobs-data", "get-pending-job-executions", "--thing-name",
                                 "cli-gw")["queuedJobs"]], ["cli-2"]))
    check("iot-jobs-data describe-job-execution of $next", lambda: same(
        aws("iot-jobs-data", "describe-job-execution", "--job-id", "$next", "--thing-name",
            "cli-gw", "--include-job-document")["execution"]["jobDocument"],
        '{"operation":"greet"}'))
    check("iot-jobs-data update-job-execution", finish)


def registry(aws):
    def group():
        aws("iot", "create-thing", "--thing-name", "cli-gw2", "--attribute-payload",
            "attributes={site=berlin}")
        aws("iot", "create-thing-group", "--thing-group-name", "cli-group")
        aws("iot", "add-thing-to-thing-group", "--thing-group-name", "cli-group",
            "--thing-name", "cli-gw2")
        aws("iot", "create-job", "--job-id", "cli-3", "--targets", f"{ARN}thinggroup/cli-group",
            "--document", '{"operation":"greet"}', "--target-selection", "CONTINUOUS")
        got = aws("iot", "describe-job-execution", "--job-id", "cli-3", "--thing-name", "cli-gw2")
        same(got["execution"]["status"], "QUEUED")

    def template():
        got = aws("iot", "describe-managed-job-template", "--template-name", "AWS-Reboot")
        same(got["templateName"], "AWS-Reboot")
        aws("iot", "create-job", "--job-id", "cli-4", "--targets", f"{ARN}thing/cli-gw2",
            "--job-template-arn", got["templateArn"], "--document-parameters", "runAsUser=hob")

    check("create-thing, create-thing-group, add-thing-to-thing-group, create-job for it", group)
    check("describe-thing", lambda: same(
        aws("iot", "describe-thing", "--thing-name", "cli-gw2")["attributes"],
        {"site": "berlin"}))
    check("describe-endpoint", lambda: same(
        bool(aws("iot", "describe-endpoint", "--endpoint-type", "iot:Data-ATS")
             ["endpointAddress"]), True))
    check("create-job of a managed template", template)


def refusals(aws):
    check("ResourceAlreadyExistsException: create-job twice", lambda: aws.fails(
        "ResourceAlreadyExistsException", "iot", "create-job", "--job-id", "cli-1", "--targets",
        f"{ARN}thing/cli-gw", "--document", "{}"))
    check("ResourceNotFoundException: describe-job", lambda: aws.fails(
        "ResourceNotFoundException", "iot", "describe-job", "--job-id", "cli-none"))
    check("TerminalStateException: iot-jobs-data describe-job-execution", lambda: aws.fails(
        "TerminalStateException", "iot-jobs-data", "describe-job-execution", "--job-id", "cli-2",
        "--thing-name", "cli-gw"))
    check("delete-job --force, then it is gone", lambda: (
        aws("iot", "delete-job", "--job-id", "cli-1", "--force"),
        aws.fails("ResourceNotFoundException", "iot", "describe-job", "--job-id", "cli-1")))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        aws = Cli(json.load(file))
    check("it is there", lambda: print(subprocess.run(
        [AWS, "--version"], capture_output=True, text=True, timeout=SECONDS, check=True).stdout,
        file=sys.stderr))
    jobs(aws)
    data_plane(aws)
    registry(aws)
    refusals(aws)
    end()


if __name__ == "__main__":
    main()
