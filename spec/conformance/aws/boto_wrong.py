"""Wrong requests: each must bring one error, by its name and HTTP status."""

import botocore.exceptions

from report import Different, check, same

ARN = "arn:aws:iot:us-east-1:123456789012:"
THING = f"{ARN}thing/bc-wrong"
GROUP = f"{ARN}thinggroup/bc-group"
DOCUMENT = '{"operation":"greet"}'

INVALID = "InvalidRequestException"
NOT_FOUND = "ResourceNotFoundException"
EXISTS = "ResourceAlreadyExistsException"
TRANSITION = "InvalidStateTransitionException"


def _job(**more):
    return {"jobId": "bc-w", "targets": [THING], "document": DOCUMENT, **more}


def _criteria(**more):
    return {"criteriaList": [{"failureType": "FAILED", "action": "CANCEL",
                              "thresholdPercentage": 50.0, "minNumberOfExecutedThings": 1,
                              **more}]}


def _retry(kind, number):
    return {"jobExecutionsRetryConfig": {
        "criteriaList": [{"failureType": kind, "numberOfRetries": number}]}}


TEMPLATE = "arn:aws:iot:us-east-1::jobtemplate/"

# What is wrong, the operation, its arguments, the error. There are jobs bc-queued, bc-started and
# bc-over (ended) of the thing bc-wrong.
CONTROL = [
    ("an empty list of targets", "create_job", _job(targets=[]), INVALID),
    ("a target that is no ARN", "create_job", _job(targets=["bc-wrong"]), INVALID),
    ("an id with a dot", "create_job", _job(jobId="bc.w"), INVALID),
    ("an id of 65 characters", "create_job", _job(jobId="x" * 65), INVALID),
    ("no document", "create_job", {"jobId": "bc-w", "targets": [THING]}, INVALID),
    ("a document that is no JSON", "create_job", _job(document="{"), INVALID),
    ("a document over 32768 bytes", "create_job", _job(document='{"a":"%s"}' % ("x" * 32768)),
     INVALID),
    ("a description over 2028 characters", "create_job", _job(description="x" * 2029), INVALID),
    ("a time-out of 0 minutes", "create_job",
     _job(timeoutConfig={"inProgressTimeoutInMinutes": 0}), INVALID),
    ("a time-out of 10081 minutes", "create_job",
     _job(timeoutConfig={"inProgressTimeoutInMinutes": 10081}), INVALID),
    ("11 retries", "create_job", _job(**_retry("FAILED", 11)), INVALID),
    ("retries after REJECTED", "create_job", _job(**_retry("REJECTED", 1)), INVALID),
    ("an abort action DELETE", "create_job", _job(abortConfig=_criteria(action="DELETE")),
     INVALID),
    ("an abort threshold of 101 %", "create_job",
     _job(abortConfig=_criteria(thresholdPercentage=101.0)), INVALID),
    ("a roll-out of 0 a minute", "create_job",
     _job(jobExecutionsRolloutConfig={"maximumPerMinute": 0}), INVALID),
    ("presigned URLs for 59 seconds", "create_job",
     _job(presignedUrlConfig={"expiresInSec": 59}), INVALID),
    ("an unknown targetSelection", "create_job", _job(targetSelection="SOME"), INVALID),
    ("an id that is taken", "create_job", _job(jobId="bc-queued"), EXISTS),
    ("an unknown managed template", "create_job",
     {"jobId": "bc-w", "targets": [THING], "jobTemplateArn": TEMPLATE + "AWS-Nothing:1.0"},
     NOT_FOUND),
    ("a template without its parameters", "create_job",
     {"jobId": "bc-w", "targets": [THING], "jobTemplateArn": TEMPLATE + "AWS-Download-File:1.0"},
     INVALID),
    ("an unknown job", "describe_job", {"jobId": "bc-none"}, NOT_FOUND),
    ("an unknown job", "get_job_document", {"jobId": "bc-none"}, NOT_FOUND),
    ("maxResults 0", "list_jobs", {"maxResults": 0}, INVALID),
    ("maxResults 251", "list_jobs", {"maxResults": 251}, INVALID),
    ("an unknown status", "list_jobs", {"status": "FROBBED"}, INVALID),
    ("a made-up nextToken", "list_jobs", {"nextToken": "frob"}, INVALID),
    ("an unknown job", "update_job", {"jobId": "bc-none", "description": "x"}, NOT_FOUND),
    ("a time-out of 0 minutes", "update_job",
     {"jobId": "bc-queued", "timeoutConfig": {"inProgressTimeoutInMinutes": 0}}, INVALID),
    ("an unknown job", "cancel_job", {"jobId": "bc-none"}, NOT_FOUND),
    ("a job that is COMPLETED", "cancel_job", {"jobId": "bc-over"}, INVALID),
    ("a comment over 2028 characters", "cancel_job",
     {"jobId": "bc-queued", "comment": "x" * 2029}, INVALID),
    ("an unknown job", "delete_job", {"jobId": "bc-none"}, NOT_FOUND),
    ("a job that is IN_PROGRESS, without force", "delete_job", {"jobId": "bc-queued"}, TRANSITION),
    ("an unknown job", "list_job_executions_for_job", {"jobId": "bc-none"}, NOT_FOUND),
    ("maxResults 0", "list_job_executions_for_job", {"jobId": "bc-queued", "maxResults": 0},
     INVALID),
    ("an unknown status", "list_job_executions_for_job",
     {"jobId": "bc-queued", "status": "FROBBED"}, INVALID),
    ("maxResults 251", "list_job_executions_for_thing",
     {"thingName": "bc-wrong", "maxResults": 251}, INVALID),
    ("an unknown job", "describe_job_execution", {"thingName": "bc-wrong", "jobId": "bc-none"},
     NOT_FOUND),
    ("an unknown execution", "describe_job_execution",
     {"thingName": "bc-wrong", "jobId": "bc-queued", "executionNumber": 9}, NOT_FOUND),
    ("an unknown job", "cancel_job_execution", {"thingName": "bc-wrong", "jobId": "bc-none"},
     NOT_FOUND),
    ("another version", "cancel_job_execution",
     {"thingName": "bc-wrong", "jobId": "bc-queued", "expectedVersion": 9},
     "VersionConflictException"),
    ("one that has started, without force", "cancel_job_execution",
     {"thingName": "bc-wrong", "jobId": "bc-started"}, TRANSITION),
    ("details that are no strings", "cancel_job_execution",
     {"thingName": "bc-wrong", "jobId": "bc-queued", "statusDetails": {"a": ""}}, INVALID),
    ("an unknown job", "delete_job_execution",
     {"thingName": "bc-wrong", "jobId": "bc-none", "executionNumber": 1}, NOT_FOUND),
    ("one that is queued, without force", "delete_job_execution",
     {"thingName": "bc-wrong", "jobId": "bc-queued", "executionNumber": 1}, TRANSITION),
    ("an unknown job", "associate_targets_with_job", {"jobId": "bc-none", "targets": [GROUP]},
     NOT_FOUND),
    ("a job that is no continuous one", "associate_targets_with_job",
     {"jobId": "bc-queued", "targets": [GROUP]}, INVALID),
    ("an unknown group", "associate_targets_with_job",
     {"jobId": "bc-cont", "targets": [f"{ARN}thinggroup/bc-none"]}, NOT_FOUND),
    ("no targets", "associate_targets_with_job", {"jobId": "bc-cont", "targets": []}, INVALID),
    ("a name with a blank", "create_thing", {"thingName": "bc wrong"}, INVALID),
    ("a name that is taken, with other attributes", "create_thing",
     {"thingName": "bc-one", "attributePayload": {"attributes": {"site": "oslo"}}}, EXISTS),
    ("an unknown thing", "describe_thing", {"thingName": "bc-none"}, NOT_FOUND),
    ("maxResults 0", "list_things", {"maxResults": 0}, INVALID),
    ("a name with a blank", "create_thing_group", {"thingGroupName": "bc group"}, INVALID),
    ("a name that is taken, with another description", "create_thing_group",
     {"thingGroupName": "bc-group",
      "thingGroupProperties": {"thingGroupDescription": "other"}}, EXISTS),
    ("an unknown group", "add_thing_to_thing_group",
     {"thingGroupName": "bc-none", "thingName": "bc-one"}, NOT_FOUND),
    ("an unknown thing", "add_thing_to_thing_group",
     {"thingGroupName": "bc-group", "thingName": "bc-none"}, NOT_FOUND),
    ("no names", "add_thing_to_thing_group", {}, INVALID),
    ("an unknown type", "describe_endpoint", {"endpointType": "iot:Frob"}, INVALID),
    ("maxResults 0", "list_managed_job_templates", {"maxResults": 0}, INVALID),
    ("an unknown template", "describe_managed_job_template", {"templateName": "AWS-Nothing"},
     NOT_FOUND),
]

DATA = [
    ("an unknown job", "describe_job_execution", {"jobId": "bc-none"}, NOT_FOUND),
    ("an unknown execution", "describe_job_execution",
     {"jobId": "bc-queued", "executionNumber": 9}, NOT_FOUND),
    ("a text as executionNumber", "describe_job_execution",
     {"jobId": "bc-queued", "executionNumber": "first"}, INVALID),
    ("one that has ended", "describe_job_execution", {"jobId": "bc-over"},
     "TerminalStateException"),
    ("a step timer of 0 minutes", "start_next_pending_job_execution", {"stepTimeoutInMinutes": 0},
     INVALID),
    ("an empty detail", "start_next_pending_job_execution", {"statusDetails": {"a": ""}},
     INVALID),
    ("an unknown job", "update_job_execution", {"jobId": "bc-none", "status": "FAILED"},
     NOT_FOUND),
    ("no status", "update_job_execution", {"jobId": "bc-queued"}, INVALID),
    ("status CANCELED", "update_job_execution", {"jobId": "bc-queued", "status": "CANCELED"},
     INVALID),
    ("a step timer of 10081 minutes", "update_job_execution",
     {"jobId": "bc-queued", "status": "IN_PROGRESS", "stepTimeoutInMinutes": 10081}, INVALID),
    ("an update of what has ended", "update_job_execution",
     {"jobId": "bc-over", "status": "IN_PROGRESS"}, TRANSITION),
]


def _prepare(scenes):
    for job in ("bc-over", "bc-started", "bc-queued"):
        scenes.create(job, "bc-wrong")
    for job, status in (("bc-over", "SUCCEEDED"), ("bc-started", "IN_PROGRESS")):
        scenes.data.update_job_execution(thingName="bc-wrong", jobId=job, status=status)


def _expect(call, arguments, code):
    try:
        answer = call(**arguments)
    except botocore.exceptions.ClientError as error:
        got = error.response["Error"]
        same(got["Code"], code, f"another error: {got.get('Message')}")
        words = got.get("Message") or ""
        if not words or words.startswith("Nothing answers"):  # as an unknown path is refused
            raise Different("no error of this operation", "a message", words) from error
    else:
        answer.pop("ResponseMetadata", None)
        raise Different("no error", code, answer)


def run(scenes):
    check("jobs for what follows", lambda: _prepare(scenes))
    for client, extra, cases in ((scenes.iot, {}, CONTROL),
                                 (scenes.data, {"thingName": "bc-wrong"}, DATA)):
        for words, operation, arguments, code in cases:
            check(f"{code}: {client.meta.service_model.service_name} {operation} with {words}",
                  lambda c=client, o=operation, a=arguments, e=extra, k=code:
                  _expect(getattr(c, o), {**e, **a}, k))
    # The model has no error of its own for this one.
    check("iot-jobs-data update_job_execution with another version is refused", lambda: _version(scenes))


def _version(scenes):
    try:
        scenes.data.update_job_execution(thingName="bc-wrong", jobId="bc-started",
                                         status="SUCCEEDED", expectedVersion=77)
    except botocore.exceptions.ClientError:
        got = scenes.data.describe_job_execution(thingName="bc-wrong", jobId="bc-started")
        same(got["execution"]["status"], "IN_PROGRESS")
    else:
        raise Different("no error", "a refusal", "an answer")
