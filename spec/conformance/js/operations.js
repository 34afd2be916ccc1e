// Every operation of a device, with answers checked member by member.
"use strict";

const assert = require("node:assert");
const { check, recent, same } = require("./report");

const DOCUMENT = { operation: "greet", deep: { list: [1, 2.5, "three", null, true] }, text: "ü€𝄞" };

/** The answer's members beside the token and the time, which are checked here. */
function members(answer, kind = "accepted") {
  same(answer.kind, kind, `expected ${kind}, got ${JSON.stringify(answer.body)}`);
  const { clientToken, timestamp, ...rest } = answer.body;
  same(typeof clientToken, "string", "clientToken is not echoed");
  recent(timestamp, "timestamp");
  return rest;
}

/** An execution without its times, which are checked here; thingName may be there or not. */
function execution(got, thing, started) {
  assert.ok(got, "there is no execution");
  const { queuedAt, startedAt, lastUpdatedAt, thingName = thing, ...rest } = got;
  same(thingName, thing, "thingName");
  recent(queuedAt, "queuedAt");
  recent(lastUpdatedAt, "lastUpdatedAt");
  if (started) recent(startedAt, "startedAt");
  else same(startedAt, undefined, "startedAt before the start");
  return rest;
}

function summaries(got) {
  assert.ok(Array.isArray(got), `expected a list, got ${JSON.stringify(got)}`);
  return got.map((one) => {
    const { queuedAt, startedAt, lastUpdatedAt, ...rest } = one;
    recent(queuedAt, "queuedAt");
    recent(lastUpdatedAt, "lastUpdatedAt");
    if (startedAt !== undefined) recent(startedAt, "startedAt");
    return { ...rest, started: startedAt !== undefined };
  });
}

function summary(jobId, versionNumber, started) {
  return { jobId, versionNumber, executionNumber: 1, started };
}

async function nothingPending(thing) {
  await check("get: both lists are there and empty", async () => {
    same(members(await thing.ask("get")), { inProgressJobs: [], queuedJobs: [] });
  });
  await check("describe of $next: no execution", async () => {
    same(members(await thing.ask("describe", { jobId: "$next" })), {});
  });
  await check("start-next: no execution", async () => {
    same(members(await thing.ask("start-next")), {});
  });
}

async function queued(thing, a, b) {
  const state = {
    jobId: a, status: "QUEUED", versionNumber: 1, executionNumber: 1, jobDocument: DOCUMENT,
  };
  for (const [words, request] of [
    ["by id", { jobId: a }], ["of $next", { jobId: "$next" }],
    ["by id and executionNumber", { jobId: a, executionNumber: 1 }],
    ["with includeJobDocument", { jobId: a, includeJobDocument: true }],
  ]) {
    await check(`describe ${words}: a queued execution and its document`, async () => {
      const { execution: got, ...rest } = members(await thing.ask("describe", request));
      same(execution(got, thing.name, false), state);
      same(rest, {});
    });
  }
  await check("get: what is queued, the oldest first", async () => {
    const { inProgressJobs, queuedJobs } = members(await thing.ask("get"));
    same(summaries(inProgressJobs), []);
    same(summaries(queuedJobs), [summary(a, 1, false), summary(b, 1, false)]);
  });
}

async function started(thing, a, b) {
  const state = {
    jobId: a, status: "IN_PROGRESS", statusDetails: { step: "one" }, versionNumber: 2,
    executionNumber: 1, jobDocument: DOCUMENT,
  };
  for (const [words, request] of [
    ["starts the oldest one, with details and a step timer",
      { statusDetails: { step: "one" }, stepTimeoutInMinutes: 10 }],
    ["hands out what is in progress unchanged", { statusDetails: { step: "other" } }],
  ]) {
    await check(`start-next ${words}`, async () => {
      const { execution: got } = members(await thing.ask("start-next", request));
      const { approximateSecondsBeforeTimedOut: left, ...rest } = execution(got, thing.name, true);
      same(rest, state);
      assert.ok(Number.isInteger(left) && left > 500 && left <= 600,
        `approximateSecondsBeforeTimedOut: expected about 600, got ${left}`);
    });
  }
  await check("get: what is in progress and what is queued", async () => {
    const { inProgressJobs, queuedJobs } = members(await thing.ask("get"));
    same(summaries(inProgressJobs), [summary(a, 2, true)]);
    same(summaries(queuedJobs), [summary(b, 1, false)]);
  });
}

async function updated(thing, a) {
  await check("update: without flags the answer has neither state nor document", async () => {
    same(members(await thing.ask("update", { jobId: a, status: "IN_PROGRESS" })), {});
  });
  await check("update: version, details, state and document", async () => {
    same(members(await thing.ask("update", {
      jobId: a, status: "IN_PROGRESS", expectedVersion: 3, executionNumber: 1,
      statusDetails: { progress: "50 %", "a:b_c-d": "ü" }, includeJobExecutionState: true,
      includeJobDocument: true, stepTimeoutInMinutes: -1,
    })), {
      executionState: {
        status: "IN_PROGRESS", versionNumber: 4,
        statusDetails: { progress: "50 %", "a:b_c-d": "ü" },
      },
      jobDocument: DOCUMENT,
    });
  });
  await check("describe: -1 has discarded the step timer", async () => {
    const { execution: got } = members(await thing.ask("describe", { jobId: a }));
    same(execution(got, thing.name, true).approximateSecondsBeforeTimedOut, undefined);
  });
}

async function ended(thing, owner, a, b) {
  await check("update: SUCCEEDED, and the job is COMPLETED", async () => {
    const { executionState } = members(await thing.ask("update", {
      jobId: a, status: "SUCCEEDED", statusDetails: { done: "yes" }, includeJobExecutionState: true,
    }));
    same(executionState,
      { status: "SUCCEEDED", versionNumber: 5, statusDetails: { done: "yes" } });
    const { job } = await owner.send("DescribeJob", { jobId: a });
    same(job.status, "COMPLETED");
    same(job.jobProcessDetails.numberOfSucceededThings, 1);
  });
  await check("update: a queued execution may be REJECTED at once", async () => {
    const { executionState } = members(await thing.ask("update",
      { jobId: b, status: "REJECTED", includeJobExecutionState: true }));
    same(executionState, { status: "REJECTED", versionNumber: 2 });
    same(members(await thing.ask("describe", { jobId: "$next" })), {});
  });
}

/** What the newer client cannot say: it drops members that are false or 0, and has no strings for
 * numbers. */
async function onlyV1(thing, c) {
  await check("describe: includeJobDocument false leaves the document out", async () => {
    const { execution: got } = members(await thing.ask("describe",
      { jobId: c, includeJobDocument: false }));
    same(execution(got, thing.name, false),
      { jobId: c, status: "QUEUED", versionNumber: 1, executionNumber: 1 });
  });
  await check("update: expectedVersion as a string", async () => {
    same(members(await thing.ask("update",
      { jobId: c, status: "IN_PROGRESS", expectedVersion: "1" })), {});
  });
  await check("update: expectedVersion 0 is another version", async () => {
    const { code } = members(await thing.ask("update",
      { jobId: c, status: "IN_PROGRESS", expectedVersion: 0 }), "rejected");
    same(code, "VersionMismatch");
  });
  await check("update: FAILED", async () => {
    same(members(await thing.ask("update", { jobId: c, status: "FAILED" })), {});
  });
}

async function operations(thing, owner, isV1) {
  const [a, b, c] = ["a", "b", "c"].map((letter) => `${thing.name}-${letter}`);
  await nothingPending(thing);
  await check("CreateJob: two jobs for the thing", async () => {
    await owner.create(thing.name, a, DOCUMENT);
    await owner.create(thing.name, b, DOCUMENT);
  });
  await queued(thing, a, b);
  await started(thing, a, b);
  await updated(thing, a);
  await ended(thing, owner, a, b);
  if (isV1) {
    await check("CreateJob: a third one", () => owner.create(thing.name, c, DOCUMENT));
    await onlyV1(thing, c);
  }
  await check("no answer came twice, or with a foreign token", () => same(thing.strays, []));
}

module.exports = { operations, members, execution, summaries, summary };
