// Every code with which a request can be rejected, at each operation that has it.
"use strict";

const assert = require("node:assert");
const { check, recent, same } = require("./report");

const WITH_STATE = { VersionMismatch: true, InvalidStateTransition: true };

/** A rejection with that code, its message and time, and a state only where it belongs. */
function rejection(answer, code, state, tokenless) {
  same(answer.kind, "rejected", `expected a rejection, got ${JSON.stringify(answer.body)}`);
  assert.ok(answer.body, `the rejection could not be read: ${answer.error}`);
  const { clientToken, timestamp, message, ...rest } = answer.body;
  same(typeof clientToken, tokenless ? "undefined" : "string", "clientToken");
  recent(timestamp, "timestamp");
  assert.ok(typeof message === "string" && message.length > 0, "message: expected some words");
  same(rest, WITH_STATE[code] ? { code, executionState: state } : { code });
}

function longText(length) {
  return "x".repeat(length);
}

/** Requests that are wrong, for every thing the same: [code, operation, what is wrong, request]. */
function wrongRequests(job, over) {
  const update = (more) => ({ jobId: job, status: "IN_PROGRESS", ...more });
  const many = {};
  for (let i = 1; i <= 11; i++) many["key" + i] = "value";
  return [
    ["InvalidRequest", "update", "status CANCELED", update({ status: "CANCELED" })],
    ["InvalidRequest", "update", "an unknown status", update({ status: "DONE" })],
    ["InvalidRequest", "update", "11 details", update({ statusDetails: many })],
    ["InvalidRequest", "update", "a detail of 1025 characters",
      update({ statusDetails: { text: longText(1025) } })],
    ["InvalidRequest", "update", "a detail with a newline",
      update({ statusDetails: { text: "one\ntwo" } })],
    ["InvalidRequest", "update", "a step timer of 10081 minutes",
      update({ stepTimeoutInMinutes: 10081 })],
    ["InvalidRequest", "start-next", "a step timer of -1 minutes", { stepTimeoutInMinutes: -1 }],
    ["InvalidRequest", "start-next", "a detail without text", { statusDetails: { text: "" } }],
    ["ResourceNotFound", "describe", "an unknown job", { jobId: "no-such-job" }],
    ["ResourceNotFound", "describe", "an unknown execution",
      { jobId: job, executionNumber: 17 }],
    ["ResourceNotFound", "update", "an unknown job", update({ jobId: "no-such-job" })],
    ["ResourceNotFound", "update", "an unknown execution", update({ executionNumber: 17 })],
    ["VersionMismatch", "update", "another version", update({ expectedVersion: 99 })],
    ["InvalidStateTransition", "update", "an update of what has ended",
      { jobId: over, status: "IN_PROGRESS" }],
    ["TerminalStateReached", "describe", "what has ended", { jobId: over }],
  ];
}

async function byWrongRequests(thing, job, over) {
  const states = { [job]: { status: "QUEUED", versionNumber: 1 } };
  states[over] = { status: "SUCCEEDED", versionNumber: 2, statusDetails: { done: "yes" } };
  for (const [code, op, words, request] of wrongRequests(job, over)) {
    await check(`${code}: ${op} with ${words}`, async () => {
      rejection(await thing.ask(op, request), code, states[request.jobId]);
    });
  }
}

async function byBadPayloads(thing, job) {
  for (const op of ["get", "start-next", "describe", "update"]) {
    await check(`InvalidJson: ${op} that is cut off`, async () => {
      rejection(await thing.askBadly(op, job, '{"clientToken":"lost"'), "InvalidJson", null, true);
    });
  }
  await check("InvalidTopic: jobs/frob", async () => {
    rejection(await thing.askElsewhere("frob"), "InvalidTopic");
  });
  await check("InvalidTopic: jobs/J/frob", async () => {
    rejection(await thing.askElsewhere(`${job}/frob`), "InvalidTopic");
  });
}

async function byFaults(thing, owner, job) {
  const requests = { describe: { jobId: job }, update: { jobId: job, status: "IN_PROGRESS" } };
  for (const op of ["get", "start-next", "describe", "update"]) {
    for (const code of ["InternalError", "RequestThrottled"]) {
      await check(`${code}: ${op}, by a fault; then it works again`, async () => {
        await owner.fault({ op, action: "reject", code, thing: thing.name, count: 1 });
        rejection(await thing.ask(op, requests[op]), code);
        if (op === "get" || op === "describe") {
          same((await thing.ask(op, requests[op])).kind, "accepted");
        }
      });
    }
  }
}

async function onlyV1(thing, job) {
  for (const [op, words, request] of [
    ["update", "no status", { jobId: job }],
    ["update", "a list of details", { jobId: job, status: "FAILED", statusDetails: ["one"] }],
    ["update", "a step timer of 0 minutes",
      { jobId: job, status: "FAILED", stepTimeoutInMinutes: 0 }],
    ["update", "a number as status", { jobId: job, status: 7 }],
    ["describe", "a text as executionNumber", { jobId: job, executionNumber: "first" }],
    ["describe", "a text as includeJobDocument", { jobId: job, includeJobDocument: "yes" }],
    ["start-next", "a number as detail", { statusDetails: { count: 1 } }],
  ]) {
    await check(`InvalidRequest: ${op} with ${words}`, async () => {
      rejection(await thing.ask(op, request), "InvalidRequest");
    });
  }
}

/** The newer client waits until its own time-out for an answer that it cannot match. */
async function onlyV2(thing, job) {
  await check("InvalidJson has no token: the request keeps waiting", async () => {
    const client = thing.link.v2({ operationTimeoutInSeconds: 1 });
    client.serviceModel.requestResponseOperations.get("describeJobExecution").payloadTransformer =
      () => Buffer.from("{");
    try {
      await assert.rejects(thing.ask("describe", { jobId: job }, client), (error) =>
        error.modeledError === undefined && /timeout/i.test(String(error.internalError || error)));
    } finally {
      client.close();
    }
  });
}

async function codes(thing, owner, isV1) {
  const [job, over] = [`${thing.name}-wrong`, `${thing.name}-over`];
  await check("CreateJob: one that has ended, one that is queued", async () => {
    await owner.create(thing.name, over, { operation: "none" });
    same((await thing.ask("update",
      { jobId: over, status: "SUCCEEDED", statusDetails: { done: "yes" } })).kind, "accepted");
    await owner.create(thing.name, job, { operation: "none" });
  });
  await byWrongRequests(thing, job, over);
  await byBadPayloads(thing, job);
  await (isV1 ? onlyV1 : onlyV2)(thing, job);
  await check("nothing of this has changed the execution", async () => {
    const { body } = await thing.ask("describe", { jobId: job });
    same([body.execution.status, body.execution.versionNumber], ["QUEUED", 1]);
  });
  await byFaults(thing, owner, job);
}

module.exports = { codes };
