"""botocore against the local Jobs service: every operation, once rightly and once for each error.

    boto.py WORLD.json

What the answers look like is the witness's business (witness.py); here it is what they say.
"""

import json
import sys

import botocore.config
import botocore.exceptions
import botocore.session

import boto_wrong
from report import check, end, same

ARN = "arn:aws:iot:us-east-1:123456789012:"
DOCUMENT = '{"operation":"greet","name":"moon","count":1}'
TEMPLATES = ["AWS-Download-File", "AWS-Install-Application", "AWS-Reboot",
             "AWS-Remove-Application", "AWS-Restart-Application", "AWS-Run-Command",
             "AWS-Start-Application", "AWS-Stop-Application"]


def thing_arn(name):
    return f"{ARN}thing/{name}"


def make_client(service, url):
    # Without the check on this side, wrong requests reach the service.
    config = botocore.config.Config(parameter_validation=False, retries={"max_attempts": 0},
                                    connect_timeout=5, read_timeout=20)
    return botocore.session.get_session().create_client(
        service, region_name="us-east-1", endpoint_url=url, config=config,
        aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="none")


def all_pages(call, member, **arguments):
    """Every item of a list, by pages."""
    items, token, pages = [], None, 0
    while True:
        more = {"nextToken": token} if token else {}
        answer = call(**arguments, **more)
        items += answer[member]
        token, pages = answer.get("nextToken"), pages + 1
        if not token or pages > 500:
            return items


class Scenes:
    def __init__(self, world):
        self.iot = make_client("iot", world["aws_url"])
        self.data = make_client("iot-jobs-data", world["aws_url"])

    def create(self, job, *things, **more):
        return self.iot.create_job(jobId=job, targets=[thing_arn(t) for t in things],
                                   **{"document": DOCUMENT, **more})

    # ---- things and groups ----

    def things(self):
        attributes = {"attributes": {"site": "berlin", "rack": "a1"}}

        def create():
            first = self.iot.create_thing(thingName="bc-one", attributePayload=attributes)
            again = self.iot.create_thing(thingName="bc-one", attributePayload=attributes)
            same([first["thingName"], first["thingArn"]], ["bc-one", thing_arn("bc-one")])
            same(again["thingId"], first["thingId"], "the same thing made again")
            for name in ("bc-two", "bc-three", "bc-four"):
                self.iot.create_thing(thingName=name)
            return first["thingId"]

        made = check("CreateThing, and again with the same attributes", create)

        def describe():
            got = self.iot.describe_thing(thingName="bc-one")
            same(got["attributes"], attributes["attributes"], "attributes")
            same([got["thingName"], got["thingId"], got["thingArn"], got["defaultClientId"],
                  got["version"]], ["bc-one", made, thing_arn("bc-one"), "bc-one", 1])

        def names(**query):
            found = all_pages(self.iot.list_things, "things", **query)
            return sorted(t["thingName"] for t in found if t["thingName"].startswith("bc-"))

        check("DescribeThing", describe)
        check("ListThings, one a page", lambda: same(
            names(maxResults=1), ["bc-four", "bc-one", "bc-three", "bc-two"]))
        check("ListThings by an attribute", lambda: same(
            names(attributeName="site", attributeValue="berlin"), ["bc-one"]))

    def groups(self):
        def create():
            got = self.iot.create_thing_group(
                thingGroupName="bc-group",
                thingGroupProperties={"thingGroupDescription": "for conformance"})
            same([got["thingGroupName"], got["thingGroupArn"]],
                 ["bc-group", f"{ARN}thinggroup/bc-group"])

        def add():
            self.iot.add_thing_to_thing_group(thingGroupName="bc-group", thingName="bc-one")
            self.iot.add_thing_to_thing_group(
                thingGroupArn=f"{ARN}thinggroup/bc-group", thingArn=thing_arn("bc-two"))
            self.iot.add_thing_to_thing_group(thingGroupName="bc-group", thingName="bc-two")

        check("CreateThingGroup", create)
        check("AddThingToThingGroup by name, by ARN, and twice", add)

    def endpoint(self):
        for kind in (None, "iot:Data-ATS", "iot:Jobs"):
            def describe(kind=kind):
                got = self.iot.describe_endpoint(**({"endpointType": kind} if kind else {}))
                same(bool(got["endpointAddress"]), True, "endpointAddress is empty")
                same("://" in got["endpointAddress"], False, "endpointAddress has a scheme")
            check(f"DescribeEndpoint {kind or 'without a type'}", describe)

    # ---- jobs ----

    def job_with_everything(self):
        configs = {
            "description": "everything that a job can have",
            "timeoutConfig": {"inProgressTimeoutInMinutes": 90},
            "jobExecutionsRetryConfig": {"criteriaList": [
                {"failureType": "FAILED", "numberOfRetries": 2},
                {"failureType": "TIMED_OUT", "numberOfRetries": 1}]},
            "abortConfig": {"criteriaList": [
                {"failureType": "FAILED", "action": "CANCEL", "thresholdPercentage": 60.0,
                 "minNumberOfExecutedThings": 3}]},
            "jobExecutionsRolloutConfig": {"maximumPerMinute": 1000},
            "presignedUrlConfig": {"roleArn": "arn:aws:iam::123456789012:role/reader",
                                   "expiresInSec": 600},
            "targetSelection": "SNAPSHOT",
        }

        def create():
            got = self.create("bc-all", "bc-one", "bc-two", **configs)
            same([got["jobArn"], got["jobId"], got.get("description")],
                 [f"{ARN}job/bc-all", "bc-all", configs["description"]])

        def describe():
            job = self.iot.describe_job(jobId="bc-all")["job"]
            for name, given in configs.items():
                same(job.get(name), given, name)
            same(sorted(job["targets"]), [thing_arn("bc-one"), thing_arn("bc-two")], "targets")
            same(job["status"], "IN_PROGRESS")
            same(job["jobProcessDetails"]["numberOfQueuedThings"], 2)

        def update():
            self.iot.update_job(jobId="bc-all", description="changed",
                                timeoutConfig={"inProgressTimeoutInMinutes": 30})
            job = self.iot.describe_job(jobId="bc-all")["job"]
            same([job["description"], job["timeoutConfig"]],
                 ["changed", {"inProgressTimeoutInMinutes": 30}])
            same(job["jobExecutionsRetryConfig"], configs["jobExecutionsRetryConfig"])

        check("CreateJob with every configuration", create)
        check("DescribeJob gives them back", describe)
        check("UpdateJob changes what it names, and only that", update)
        check("GetJobDocument", lambda: same(
            self.iot.get_job_document(jobId="bc-all")["document"], DOCUMENT))

    def lists(self):
        def jobs(**query):
            return [j["jobId"] for j in all_pages(self.iot.list_jobs, "jobs", **query)
                    if j["jobId"].startswith("bc-")]

        def of_job(**query):
            found = all_pages(self.iot.list_job_executions_for_job, "executionSummaries",
                              jobId="bc-all", **query)
            return sorted(e["thingArn"].split("/")[1] for e in found)

        def of_thing(**query):
            found = all_pages(self.iot.list_job_executions_for_thing, "executionSummaries",
                              thingName="bc-one", **query)
            return sorted(e["jobId"] for e in found)

        check("CreateJob, two more", lambda: [self.create("bc-b", "bc-one"),
                                              self.create("bc-c", "bc-two")])
        check("ListJobs, one a page", lambda: same(
            sorted(jobs(maxResults=1)), ["bc-all", "bc-b", "bc-c"]))
        check("ListJobs by status", lambda: same(
            [sorted(jobs(status="IN_PROGRESS")), jobs(status="CANCELED")],
            [["bc-all", "bc-b", "bc-c"], []]))
        check("ListJobs by targetSelection", lambda: same(
            [len(jobs(targetSelection="SNAPSHOT")), jobs(targetSelection="CONTINUOUS")], [3, []]))
        check("ListJobExecutionsForJob, one a page", lambda: same(
            of_job(maxResults=1), ["bc-one", "bc-two"]))
        check("ListJobExecutionsForJob by status", lambda: same(
            [of_job(status="QUEUED"), of_job(status="FAILED")], [["bc-one", "bc-two"], []]))
        check("ListJobExecutionsForThing, one a page", lambda: same(
            of_thing(maxResults=1), ["bc-all", "bc-b"]))
        check("ListJobExecutionsForThing by status and by job", lambda: same(
            [of_thing(status="QUEUED"), of_thing(status="FAILED"), of_thing(jobId="bc-b")],
            [["bc-all", "bc-b"], [], ["bc-b"]]))

    def executions(self):
        def describe():
            got = self.iot.describe_job_execution(thingName="bc-one", jobId="bc-b",
                                                  executionNumber=1)["execution"]
            same([got["jobId"], got["status"], got["thingArn"], got["executionNumber"],
                  got["versionNumber"]], ["bc-b", "QUEUED", thing_arn("bc-one"), 1, 1])

        def cancel():
            self.iot.cancel_job_execution(thingName="bc-one", jobId="bc-b", expectedVersion=1,
                                          statusDetails={"why": "a check"})
            got = self.iot.describe_job_execution(thingName="bc-one", jobId="bc-b")["execution"]
            same([got["status"], got["statusDetails"]],
                 ["CANCELED", {"detailsMap": {"why": "a check"}}])

        def delete():
            self.iot.delete_job_execution(thingName="bc-one", jobId="bc-b", executionNumber=1)
            got = self.iot.list_job_executions_for_job(jobId="bc-b")["executionSummaries"]
            same(got, [], "executions after the only one was deleted")

        check("DescribeJobExecution", describe)
        check("CancelJobExecution with version and details", cancel)
        check("DeleteJobExecution", delete)

    def cancel_and_delete(self):
        def cancel():
            got = self.iot.cancel_job(jobId="bc-c", reasonCode="BECAUSE", comment="no more",
                                      force=True)
            same(got["jobId"], "bc-c")
            job = self.iot.describe_job(jobId="bc-c")["job"]
            same([job["status"], job["reasonCode"], job["comment"], job["forceCanceled"]],
                 ["CANCELED", "BECAUSE", "no more", True])
            same(job["jobProcessDetails"]["numberOfCanceledThings"], 1)

        def delete():
            self.iot.delete_job(jobId="bc-c")
            ids = [j["jobId"] for j in all_pages(self.iot.list_jobs, "jobs")]
            same("bc-c" in ids, False, "ListJobs still has it")

        check("CancelJob by force, with reason and comment", cancel)
        check("DeleteJob", delete)

    def groups_as_targets(self):
        group = f"{ARN}thinggroup/bc-group"

        def executed_on(job):
            found = all_pages(self.iot.list_job_executions_for_job, "executionSummaries",
                              jobId=job)
            return sorted(e["thingArn"].split("/")[1] for e in found)

        def snapshot():
            self.iot.create_job(jobId="bc-snap", targets=[group], document=DOCUMENT)
            same(executed_on("bc-snap"), ["bc-one", "bc-two"])

        def continuous():
            self.iot.create_job(jobId="bc-cont", targets=[group], document=DOCUMENT,
                                targetSelection="CONTINUOUS")
            self.iot.add_thing_to_thing_group(thingGroupName="bc-group", thingName="bc-three")
            same(executed_on("bc-cont"), ["bc-one", "bc-three", "bc-two"])
            same(executed_on("bc-snap"), ["bc-one", "bc-two"], "the job of the snapshot")

        def associate():
            other = self.iot.create_thing_group(thingGroupName="bc-other")["thingGroupArn"]
            self.iot.add_thing_to_thing_group(thingGroupName="bc-other", thingName="bc-four")
            got = self.iot.associate_targets_with_job(
                jobId="bc-cont", targets=[other], comment="one more")
            same(got["jobId"], "bc-cont")
            same(executed_on("bc-cont"), ["bc-four", "bc-one", "bc-three", "bc-two"])

        check("CreateJob for a group: its things as they are then", snapshot)
        check("CreateJob, continuous: a thing that joins later gets it, too", continuous)
        check("AssociateTargetsWithJob", associate)

    # ---- templates ----

    def templates(self):
        def listed():
            found = all_pages(self.iot.list_managed_job_templates, "managedJobTemplates",
                              maxResults=3)
            names = {t["templateName"] for t in found}
            same([name for name in TEMPLATES if name not in names], [], "missing templates")

        check("ListManagedJobTemplates, three a page", listed)
        for name in TEMPLATES:
            def describe(name=name):
                got = self.iot.describe_managed_job_template(templateName=name)
                document = json.loads(got["document"])
                same([got["templateName"], document["version"], len(document["steps"])],
                     [name, "1.0", 1])
                keys = {p["key"] for p in got["documentParameters"]}
                same("runAsUser" in keys, True, "documentParameters has runAsUser")
            check(f"DescribeManagedJobTemplate {name}", describe)

        def create():
            arn = self.iot.describe_managed_job_template(
                templateName="AWS-Download-File")["templateArn"]
            self.iot.create_job(jobId="bc-template", targets=[thing_arn("bc-four")],
                                jobTemplateArn=arn, documentParameters={
                                    "downloadUrl": "https://example.com/f", "filePath": "/tmp/f"})
            got = self.data.describe_job_execution(thingName="bc-four", jobId="bc-template")
            action = json.loads(got["execution"]["jobDocument"])["steps"][0]["action"]
            same([action["name"], action["input"]["handler"], action["input"]["args"]],
                 ["Download-File", "download-file.sh", ["https://example.com/f", "/tmp/f"]])
            job = self.iot.describe_job(jobId="bc-template")["job"]
            same(job["jobTemplateArn"], arn, "jobTemplateArn")

        check("CreateJob of a managed template: its parameters are filled in", create)

    # ---- the data plane ----

    def data_plane(self):
        data, thing = self.data, "bc-data"

        def pending():
            got = data.get_pending_job_executions(thingName=thing)
            same([got["inProgressJobs"], got["queuedJobs"]], [[], []])
            same("execution" in data.start_next_pending_job_execution(thingName=thing), False,
                 "an execution where none is pending")
            self.create("bc-d1", thing)
            self.create("bc-d2", thing)
            got = data.get_pending_job_executions(thingName=thing)
            same([e["jobId"] for e in got["queuedJobs"]], ["bc-d1", "bc-d2"])

        def describe():
            for job in ("bc-d1", "$next"):
                got = data.describe_job_execution(thingName=thing, jobId=job,
                                                  includeJobDocument=True)["execution"]
                same([got["jobId"], got["status"], got["jobDocument"], got["versionNumber"]],
                     ["bc-d1", "QUEUED", DOCUMENT, 1])
            got = data.describe_job_execution(thingName=thing, jobId="bc-d1",
                                              includeJobDocument=False)["execution"]
            same("jobDocument" in got, False, "a document that was not asked for")

        def start():
            got = data.start_next_pending_job_execution(
                thingName=thing, statusDetails={"step": "1"}, stepTimeoutInMinutes=5)["execution"]
            same([got["jobId"], got["status"], got["statusDetails"], got["jobDocument"],
                  got["versionNumber"]], ["bc-d1", "IN_PROGRESS", {"step": "1"}, DOCUMENT, 2])
            same(200 < got["approximateSecondsBeforeTimedOut"] <= 300, True, "the step timer")

        def update():
            got = data.update_job_execution(
                thingName=thing, jobId="bc-d1", status="SUCCEEDED", expectedVersion=2,
                executionNumber=1, statusDetails={"done": "yes"}, includeJobExecutionState=True,
                includeJobDocument=True, stepTimeoutInMinutes=-1)
            same(got["executionState"], {"status": "SUCCEEDED", "versionNumber": 3,
                                         "statusDetails": {"done": "yes"}})
            same(got["jobDocument"], DOCUMENT)

        check("GetPendingJobExecutions", pending)
        check("DescribeJobExecution by id, of $next, without the document", describe)
        check("StartNextPendingJobExecution", start)
        check("UpdateJobExecution with everything", update)

    def retries(self):
        def retry():
            self.create("bc-retry", "bc-retry", jobExecutionsRetryConfig={
                "criteriaList": [{"failureType": "FAILED", "numberOfRetries": 1}]})
            for number, last in ((1, False), (2, True)):
                got = self.data.describe_job_execution(thingName="bc-retry", jobId="$next")
                same(got["execution"]["executionNumber"], number)
                self.data.update_job_execution(thingName="bc-retry", jobId="bc-retry",
                                               status="FAILED")
                job = self.iot.describe_job(jobId="bc-retry")["job"]
                same(job["status"], "COMPLETED" if last else "IN_PROGRESS")
            summary = self.iot.list_job_executions_for_thing(
                thingName="bc-retry", jobId="bc-retry")["executionSummaries"]
            same(sorted(e["jobExecutionSummary"]["executionNumber"] for e in summary), [1, 2])

        check("a job that is tried again after FAILED, once", retry)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        scenes = Scenes(json.load(file))
    scenes.things()
    scenes.groups()
    scenes.endpoint()
    scenes.job_with_everything()
    scenes.lists()
    scenes.executions()
    scenes.cancel_and_delete()
    scenes.groups_as_targets()
    scenes.templates()
    scenes.data_plane()
    scenes.retries()
    boto_wrong.run(scenes)
    end()


if __name__ == "__main__":
    main()
