// npm's clients of AWS's HTTP APIs: @aws-sdk/client-iot and @aws-sdk/client-iot-jobs-data-plane.
//     node clients.js WORLD.json
"use strict";

const assert = require("node:assert");
const fs = require("node:fs");
const { Owner, thingArn } = require("./owner");
const { check, run, same, section } = require("./report");

const DOCUMENT = '{"operation":"greet"}';

function groupArn(name) {
  return thingArn("").replace("thing/", `thinggroup/${name}`);
}

/** It fails with that exception, by its name and its HTTP status. */
async function refused(promise, name, status) {
  await assert.rejects(promise, (error) => {
    same([error.name, error.$metadata && error.$metadata.httpStatusCode], [name, status],
      `another error: ${error.message}`);
    assert.ok(error.message, "an error without words");
    return true;
  });
}

async function control(owner) {
  section("client-iot");
  const iot = (name, input) => owner.send(name, input);
  await check("CreateJob", async () => {
    const got = await owner.create("npm-gw", "npm-1", { operation: "greet" },
      { description: "first", timeoutConfig: { inProgressTimeoutInMinutes: 5 } });
    same([got.jobId, got.jobArn, got.description],
      ["npm-1", thingArn("").replace("thing/", "job/npm-1"), "first"]);
    await owner.create("npm-gw", "npm-2", { operation: "greet" });
  });
  await check("DescribeJob: times are dates", async () => {
    const { job } = await iot("DescribeJob", { jobId: "npm-1" });
    assert.ok(job.createdAt instanceof Date, `createdAt: ${job.createdAt}`);
    assert.ok(Math.abs(job.createdAt - Date.now()) < 3600e3, `createdAt: ${job.createdAt}`);
    same([job.status, job.timeoutConfig, job.targets],
      ["IN_PROGRESS", { inProgressTimeoutInMinutes: 5 }, [thingArn("npm-gw")]]);
  });
  await check("GetJobDocument", async () => {
    same((await iot("GetJobDocument", { jobId: "npm-1" })).document, DOCUMENT);
  });
  await check("UpdateJob", async () => {
    await iot("UpdateJob", { jobId: "npm-1", description: "second" });
    same((await iot("DescribeJob", { jobId: "npm-1" })).job.description, "second");
  });
  await check("ListJobs", async () => {
    const { jobs } = await iot("ListJobs", { status: "IN_PROGRESS" });
    assert.ok(jobs.some((job) => job.jobId === "npm-1"), JSON.stringify(jobs));
  });
  await check("ListJobExecutionsForJob, ListJobExecutionsForThing", async () => {
    const ofJob = await iot("ListJobExecutionsForJob", { jobId: "npm-1" });
    same(ofJob.executionSummaries.map((one) => one.thingArn), [thingArn("npm-gw")]);
    const ofThing = await iot("ListJobExecutionsForThing", { thingName: "npm-gw" });
    same(ofThing.executionSummaries.map((one) => one.jobId).sort(), ["npm-1", "npm-2"]);
  });
  await check("DescribeJobExecution, CancelJobExecution, DeleteJobExecution", async () => {
    const of = { jobId: "npm-2", thingName: "npm-gw" };
    same((await iot("DescribeJobExecution", of)).execution.status, "QUEUED");
    await iot("CancelJobExecution", { ...of, expectedVersion: 1 });
    same((await iot("DescribeJobExecution", of)).execution.status, "CANCELED");
    await iot("DeleteJobExecution", { ...of, executionNumber: 1 });
    await refused(iot("DescribeJobExecution", of), "ResourceNotFoundException", 404);
  });
}

async function registry(owner) {
  const iot = (name, input) => owner.send(name, input);
  await check("CreateThing, DescribeThing, ListThings", async () => {
    const made = await iot("CreateThing", { thingName: "npm-member" });
    const told = await iot("DescribeThing", { thingName: "npm-member" });
    same([told.thingId, told.thingArn], [made.thingId, thingArn("npm-member")]);
    const { things } = await iot("ListThings", { maxResults: 250 });
    assert.ok(things.some((thing) => thing.thingName === "npm-member"), JSON.stringify(things));
  });
  await check("CreateThingGroup, AddThingToThingGroup, CreateJob, AssociateTargetsWithJob",
    async () => {
      await iot("CreateThing", { thingName: "npm-other" });
      for (const [thingGroupName, thingName] of [
        ["npm-group", "npm-member"], ["npm-later", "npm-other"],
      ]) {
        await iot("CreateThingGroup", { thingGroupName });
        await iot("AddThingToThingGroup", { thingGroupName, thingName });
      }
      await iot("CreateJob", {
        jobId: "npm-3", targets: [groupArn("npm-group")], document: DOCUMENT,
        targetSelection: "CONTINUOUS",
      });
      await iot("AssociateTargetsWithJob", { jobId: "npm-3", targets: [groupArn("npm-later")] });
      const { executionSummaries } = await iot("ListJobExecutionsForJob", { jobId: "npm-3" });
      same(executionSummaries.map((one) => one.thingArn).sort(),
        [thingArn("npm-member"), thingArn("npm-other")]);
    });
  await check("DescribeEndpoint", async () => {
    const { endpointAddress } = await iot("DescribeEndpoint", { endpointType: "iot:Data-ATS" });
    assert.ok(endpointAddress, "endpointAddress is empty");
  });
  await check("ListManagedJobTemplates, DescribeManagedJobTemplate", async () => {
    const { managedJobTemplates } = await iot("ListManagedJobTemplates", {});
    const names = managedJobTemplates.map((one) => one.templateName);
    assert.ok(names.includes("AWS-Run-Command"), names.join());
    const got = await iot("DescribeManagedJobTemplate", { templateName: "AWS-Run-Command" });
    same(JSON.parse(got.document).steps[0].action.type, "runCommand");
  });
}

async function refusals(owner) {
  const iot = (name, input) => owner.send(name, input);
  for (const [name, status, words, ask] of [
    ["ResourceNotFoundException", 404, "DescribeJob",
      () => iot("DescribeJob", { jobId: "npm-none" })],
    ["ResourceAlreadyExistsException", 409, "CreateJob twice",
      () => owner.create("npm-gw", "npm-1", {})],
    ["InvalidRequestException", 400, "CreateJob of no JSON",
      () => iot("CreateJob", { jobId: "npm-x", targets: [thingArn("npm-gw")], document: "{" })],
    ["InvalidStateTransitionException", 409, "DeleteJob without force",
      () => iot("DeleteJob", { jobId: "npm-1" })],
    ["VersionConflictException", 409, "CancelJobExecution with another version",
      () => iot("CancelJobExecution",
        { jobId: "npm-1", thingName: "npm-gw", expectedVersion: 9 })],
  ]) {
    await check(`${name}: ${words}`, () => refused(ask(), name, status));
  }
}

async function dataPlane(owner) {
  section("client-iot-jobs-data-plane");
  const data = (name, input) => owner.sendData(name, { thingName: "npm-data", ...input });
  await check("CreateJob", async () => {
    await owner.create("npm-data", "npm-d1", { operation: "greet" });
  });
  await check("GetPendingJobExecutions", async () => {
    const got = await data("GetPendingJobExecutions", {});
    same([got.inProgressJobs, got.queuedJobs.map((one) => one.jobId)], [[], ["npm-d1"]]);
  });
  await check("DescribeJobExecution: the document is a string", async () => {
    for (const jobId of ["npm-d1", "$next"]) {
      const { execution } = await data("DescribeJobExecution", { jobId, includeJobDocument: true });
      same([execution.jobId, execution.status, execution.jobDocument],
        ["npm-d1", "QUEUED", DOCUMENT]);
    }
  });
  await check("StartNextPendingJobExecution", async () => {
    const { execution } = await data("StartNextPendingJobExecution",
      { statusDetails: { step: "1" }, stepTimeoutInMinutes: 5 });
    same([execution.jobId, execution.status, execution.versionNumber, execution.jobDocument],
      ["npm-d1", "IN_PROGRESS", 2, DOCUMENT]);
  });
  await check("UpdateJobExecution", async () => {
    const got = await data("UpdateJobExecution",
      { jobId: "npm-d1", status: "SUCCEEDED", expectedVersion: 2, includeJobExecutionState: true });
    same(got.executionState,
      { status: "SUCCEEDED", versionNumber: 3, statusDetails: { step: "1" } });
  });
  for (const [name, status, operation, input] of [
    ["TerminalStateException", 410, "DescribeJobExecution", { jobId: "npm-d1" }],
    ["ResourceNotFoundException", 404, "DescribeJobExecution", { jobId: "npm-none" }],
    ["InvalidStateTransitionException", 409, "UpdateJobExecution",
      { jobId: "npm-d1", status: "IN_PROGRESS" }],
    ["InvalidRequestException", 400, "UpdateJobExecution",
      { jobId: "npm-d1", status: "CANCELED" }],
  ]) {
    await check(`${name}: ${operation}`, () => refused(data(operation, input), name, status));
  }
}

async function ending(owner) {
  section("client-iot");
  await check("CancelJob by force, DeleteJob", async () => {
    await owner.send("CancelJob", { jobId: "npm-1", force: true, comment: "no more" });
    const { job } = await owner.send("DescribeJob", { jobId: "npm-1" });
    same([job.status, job.comment], ["CANCELED", "no more"]);
    await owner.send("DeleteJob", { jobId: "npm-1" });
    await refused(owner.send("DescribeJob", { jobId: "npm-1" }), "ResourceNotFoundException", 404);
  });
}

run(async () => {
  const owner = new Owner(JSON.parse(fs.readFileSync(process.argv[2], "utf8")));
  await control(owner);
  await registry(owner);
  await refusals(owner);
  await dataPlane(owner);
  await ending(owner);
});
