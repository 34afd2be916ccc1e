"""What an answer of AWS IoT must look like, by the service models that botocore carries.

    model = Model("iot")
    name = model.operation("PUT", "/jobs/j1")              # "CreateJob", or None
    findings = model.check(name, status, headers, body)    # [] or what is wrong, each with its place
"""

import json
import re
import unicodedata

import botocore.session

# The models name hardly any member of an answer as required; AWS's API reference and examples of
# real answers do. Shape -> members that are always there.
ALWAYS = {
    "iot": {
        "CreateJobResponse": ["jobArn", "jobId"],
        "DescribeJobResponse": ["job"],
        "Job": ["jobArn", "jobId", "targetSelection", "status", "targets", "createdAt",
                "lastUpdatedAt", "jobProcessDetails"],
        "GetJobDocumentResponse": ["document"],
        "ListJobsResponse": ["jobs"],
        "JobSummary": ["jobArn", "jobId", "targetSelection", "status", "createdAt",
                       "lastUpdatedAt"],
        "CancelJobResponse": ["jobArn", "jobId"],
        "ListJobExecutionsForJobResponse": ["executionSummaries"],
        "JobExecutionSummaryForJob": ["thingArn", "jobExecutionSummary"],
        "ListJobExecutionsForThingResponse": ["executionSummaries"],
        "JobExecutionSummaryForThing": ["jobId", "jobExecutionSummary"],
        "JobExecutionSummary": ["status", "queuedAt", "lastUpdatedAt", "executionNumber"],
        "DescribeJobExecutionResponse": ["execution"],
        "JobExecution": ["jobId", "status", "thingArn", "queuedAt", "lastUpdatedAt",
                         "executionNumber", "versionNumber"],
        "AssociateTargetsWithJobResponse": ["jobArn", "jobId"],
        "CreateThingResponse": ["thingName", "thingArn", "thingId"],
        "DescribeThingResponse": ["defaultClientId", "thingName", "thingId", "thingArn",
                                  "attributes", "version"],
        "ListThingsResponse": ["things"],
        "ThingAttribute": ["thingName", "thingArn", "attributes", "version"],
        "CreateThingGroupResponse": ["thingGroupName", "thingGroupArn", "thingGroupId"],
        "DescribeEndpointResponse": ["endpointAddress"],
        "ListManagedJobTemplatesResponse": ["managedJobTemplates"],
        "ManagedJobTemplateSummary": ["templateArn", "templateName", "description",
                                      "environments", "templateVersion"],
        "DescribeManagedJobTemplateResponse": ["templateName", "templateArn", "description",
                                               "templateVersion", "environments",
                                               "documentParameters", "document"],
    },
    "iot-jobs-data": {
        "DescribeJobExecutionResponse": ["execution"],
        "GetPendingJobExecutionsResponse": ["inProgressJobs", "queuedJobs"],
        "JobExecution": ["jobId", "thingName", "status", "queuedAt", "lastUpdatedAt",
                         "versionNumber", "executionNumber"],
        "JobExecutionSummary": ["jobId", "queuedAt", "lastUpdatedAt", "versionNumber",
                                "executionNumber"],
        "JobExecutionState": ["status", "versionNumber"],
    },
}

NUMBERS = {"integer": int, "long": int, "double": (int, float), "float": (int, float)}
JAVA_CLASSES = {r"\p{Upper}": "A-Z", r"\p{Digit}": "0-9", r"\p{Alnum}": "a-zA-Z0-9"}
SECONDS = (1_000_000_000, 100_000_000_000)  # a time in milliseconds would lie above


def _shown(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else text[:117] + "..."


def fits(pattern, text):
    """A pattern of the models (Java's dialect) against the whole of a text."""
    if r"[^\p{C}]" in pattern:
        if any(unicodedata.category(c).startswith("C") for c in text):
            return False
        pattern = pattern.replace(r"[^\p{C}]", ".").replace("*+", "*")
    for java, python in JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.fullmatch(pattern, text, re.DOTALL) is not None


class Model:
    def __init__(self, service):
        loader = botocore.session.get_session().get_component("data_loader")
        raw = loader.load_service_model(service, "service-2")
        self.service = service
        self.shapes = raw["shapes"]
        self.operations = raw["operations"]
        self.always = ALWAYS[service]

    def operation(self, method, path):
        """The operation of a request; a path with fixed words wins over one with names."""
        segments = [part for part in path.split("/") if part]
        best = None
        for name, operation in self.operations.items():
            http = operation["http"]
            words = [part for part in http["requestUri"].split("?")[0].split("/") if part]
            if http["method"] != method or len(words) != len(segments):
                continue
            named = [word.startswith("{") for word in words]
            if all(n or w == s for n, w, s in zip(named, words, segments)):
                if best is None or sum(named) < best[0]:
                    best = (sum(named), name)
        return best and best[1]

    def check(self, name, status, headers, body):
        """Everything that is wrong with an answer."""
        findings = []
        members = self._parse(headers, body, findings)
        if members is None:
            return findings
        operation = self.operations[name]
        if status >= 300:
            self._check_error(operation, status, headers, members, findings)
            return findings
        expected = operation["http"].get("responseCode", 200)
        if status != expected:
            findings.append(f"status: expected {expected}, got {status}")
        if "output" in operation:
            self._check(operation["output"]["shape"], members, "", findings)
        elif members:
            findings.append(f"body: expected no members, got {_shown(members)}")
        return findings

    @staticmethod
    def error_type(headers, body):
        """The name of the error that an answer tells; None without one."""
        told = headers.get("x-amzn-errortype")
        if not told:
            try:
                members = json.loads(body)
                told = members.get("__type") or members.get("code")
            except (ValueError, AttributeError):
                return None
        return told and told.split(":")[0].split("#")[-1]

    def _parse(self, headers, body, findings):
        if not body:
            return {}
        kind = headers.get("content-type", "").split(";")[0]
        if kind not in ("application/json", "application/x-amz-json-1.0",
                        "application/x-amz-json-1.1"):
            findings.append(f"content-type: expected application/json, got '{kind}'")
        try:
            members = json.loads(body.decode("utf-8"))
        except ValueError as error:
            findings.append(f"body: expected JSON: {error}: {_shown(repr(body))}")
            return None
        if not isinstance(members, dict):
            findings.append(f"body: expected an object, got {_shown(members)}")
            return None
        return members

    def _check_error(self, operation, status, headers, members, findings):
        kind = self.error_type(headers, json.dumps(members))
        modelled = [error["shape"] for error in operation.get("errors", [])]
        if kind not in modelled:
            findings.append(f"error: expected one of {', '.join(modelled)}; got {kind}, "
                            f"status {status}, {_shown(members)}")
            return
        expected = self.shapes[kind].get("error", {}).get("httpStatusCode")
        if expected is not None and status != expected:
            findings.append(f"status of {kind}: expected {expected}, got {status}")
        known = {key: value for key, value in members.items() if key not in ("__type", "code")}
        self._check(kind, known, "", findings)
        if not known.get("message"):
            findings.append("message: expected some words")

    # ---- shapes ----

    def _check(self, name, value, place, findings):
        shape = self.shapes[name]
        kind = shape["type"]
        check = getattr(self, "_check_" + kind, None)
        if value is None:
            findings.append(f"{place or 'body'}: null; an absent member is left out")
        elif check:
            check(name, shape, value, place, findings)
        elif kind in NUMBERS:
            self._check_number(shape, value, place, findings, NUMBERS[kind])
        else:
            findings.append(f"{place}: no check for the type {kind}")

    def _check_structure(self, name, shape, value, place, findings):
        if not isinstance(value, dict):
            findings.append(f"{place}: expected an object ({name}), got {_shown(value)}")
            return
        members = {}
        for member, ref in shape.get("members", {}).items():
            members[ref.get("locationName", member)] = ref["shape"]
        for member in set(self.always.get(name, [])) | set(shape.get("required", [])):
            if member not in value:
                findings.append(f"{place}.{member}: missing; got {_shown(value)}")
        for member, inner in value.items():
            if member not in members:
                findings.append(f"{place}.{member}: no member of {name}; got {_shown(inner)}")
            else:
                self._check(members[member], inner, f"{place}.{member}", findings)

    def _check_list(self, name, shape, value, place, findings):
        if not isinstance(value, list):
            findings.append(f"{place}: expected a list ({name}), got {_shown(value)}")
            return
        self._check_range(shape, len(value), place, "length", value, findings)
        for i, item in enumerate(value):
            self._check(shape["member"]["shape"], item, f"{place}[{i}]", findings)

    def _check_map(self, name, shape, value, place, findings):
        if not isinstance(value, dict):
            findings.append(f"{place}: expected an object ({name}), got {_shown(value)}")
            return
        self._check_range(shape, len(value), place, "size", value, findings)
        for key, item in value.items():
            self._check(shape["key"]["shape"], key, f"{place}'s key {key}", findings)
            self._check(shape["value"]["shape"], item, f"{place}.{key}", findings)

    def _check_string(self, name, shape, value, place, findings):
        if not isinstance(value, str):
            findings.append(f"{place}: expected a string ({name}), got {_shown(value)}")
            return
        if "enum" in shape and value not in shape["enum"]:
            findings.append(f"{place}: expected one of {', '.join(shape['enum'])}; "
                            f"got {_shown(value)}")
        if "pattern" in shape and not fits(shape["pattern"], value):
            findings.append(f"{place}: expected {shape['pattern']}, got {_shown(value)}")
        self._check_range(shape, len(value), place, "length", value, findings)

    def _check_boolean(self, name, _shape, value, place, findings):
        if not isinstance(value, bool):
            findings.append(f"{place}: expected true or false ({name}), got {_shown(value)}")

    def _check_timestamp(self, name, _shape, value, place, findings):
        if isinstance(value, bool) or not isinstance(value, (int, float)) \
                or not SECONDS[0] < value < SECONDS[1]:
            findings.append(f"{place}: expected seconds since the epoch ({name}), "
                            f"got {_shown(value)}")

    def _check_number(self, shape, value, place, findings, kinds):
        if isinstance(value, bool) or not isinstance(value, kinds):
            findings.append(f"{place}: expected {shape['type']}, got {_shown(value)}")
        else:
            self._check_range(shape, value, place, "value", value, findings)

    @staticmethod
    def _check_range(shape, size, place, what, value, findings):
        low, high = shape.get("min"), shape.get("max")
        if low is not None and size < low or high is not None and size > high:
            findings.append(f"{place}: {what} {size} is not within {low}-{high}: {_shown(value)}")
