// Both event streams: what each says, and at which moments. The broker keeps the order, so an event
// that comes where none should is seen at the latest before the next one.
"use strict";

const { check, recent, same } = require("./report");
const { execution, members, summaries, summary } = require("./operations");

const ARRIVED_MS = 300; // for events after the last expected one

/** Take the next event of a stream, or say what else came. */
async function list(thing, state, expected) {
  const got = await thing.lists.reach(++state.lists, `notify number ${state.lists}`);
  const { timestamp, jobs, ...rest } = got;
  recent(timestamp, "timestamp");
  same(rest, {}, "members beside timestamp and jobs");
  const told = {};
  for (const status of Object.keys(jobs)) told[status] = summaries(jobs[status]);
  same(told, expected);
}

async function next(thing, state, expected, started) {
  const got = await thing.nexts.reach(++state.nexts, `notify-next number ${state.nexts}`);
  const { timestamp, execution: told, ...rest } = got;
  recent(timestamp, "timestamp");
  same(rest, {}, "members beside timestamp and execution");
  same(expected ? execution(told, thing.name, started) : told, expected);
}

function front(jobId, more = {}) {
  return {
    jobId, status: "QUEUED", versionNumber: 1, executionNumber: 1, jobDocument: { job: jobId },
    ...more,
  };
}

/** No more events of either kind than were expected up to here. */
function noMore(thing, state) {
  same([thing.lists.items.length, thing.nexts.items.length], [state.lists, state.nexts],
    "notify and notify-next heard");
}

async function queueing(thing, owner, state, [a, b, c]) {
  await check("queued in an empty list: notify and notify-next", async () => {
    await owner.create(thing.name, a, { job: a });
    await list(thing, state, { QUEUED: [summary(a, 1, false)] });
    await next(thing, state, front(a), false);
  });
  await check("queued behind others: notify alone", async () => {
    await owner.create(thing.name, b, { job: b });
    await list(thing, state, { QUEUED: [summary(a, 1, false), summary(b, 1, false)] });
    noMore(thing, state);
  });
  await check("start, details and rejected requests: neither", async () => {
    members(await thing.ask("start-next"));
    members(await thing.ask("update",
      { jobId: a, status: "IN_PROGRESS", statusDetails: { step: "1" } }));
    members(await thing.ask("update", { jobId: a, status: "FAILED", expectedVersion: 77 }),
      "rejected");
    await owner.create(thing.name, c, { job: c });
    await list(thing, state, {
      IN_PROGRESS: [summary(a, 3, true)], QUEUED: [summary(b, 1, false), summary(c, 1, false)],
    });
    noMore(thing, state);
  });
}

async function ending(thing, owner, state, [a, b, c]) {
  await check("the front ends: notify and notify-next with the one behind it", async () => {
    members(await thing.ask("update", { jobId: a, status: "SUCCEEDED" }));
    await list(thing, state, { QUEUED: [summary(b, 1, false), summary(c, 1, false)] });
    await next(thing, state, front(b), false);
  });
  await check("another one starts and becomes the front: notify-next alone", async () => {
    members(await thing.ask("update",
      { jobId: c, status: "IN_PROGRESS", statusDetails: { step: "1" } }));
    await next(thing, state, front(c,
      { status: "IN_PROGRESS", versionNumber: 2, statusDetails: { step: "1" } }), true);
  });
  await check("another one is cancelled: notify alone", async () => {
    await owner.send("CancelJob", { jobId: b });
    await list(thing, state, { IN_PROGRESS: [summary(c, 2, true)] });
    noMore(thing, state);
  });
  await check("the front is cancelled by force: both, with nothing left", async () => {
    await owner.send("CancelJob", { jobId: c, force: true });
    await list(thing, state, {});
    await next(thing, state, undefined);
  });
  await check("an update of what was cancelled: rejected with its state", async () => {
    const rejected = members(await thing.ask("update", { jobId: c, status: "SUCCEEDED" }),
      "rejected");
    same([rejected.code, rejected.executionState.status], ["InvalidStateTransition", "CANCELED"]);
  });
}

async function deleting(thing, owner, state, d) {
  await check("a job is created and deleted by force: both, twice", async () => {
    await owner.create(thing.name, d, { job: d });
    await list(thing, state, { QUEUED: [summary(d, 1, false)] });
    await next(thing, state, front(d), false);
    await owner.send("DeleteJob", { jobId: d, force: true });
    await list(thing, state, {});
    await next(thing, state, undefined);
  });
}

async function events(thing, owner) {
  const [a, b, c, d] = ["a", "b", "c", "d"].map((letter) => `${thing.name}-event-${letter}`);
  const state = { lists: 0, nexts: 0 };
  await check("subscribed to both", () => thing.listen());
  await queueing(thing, owner, state, [a, b, c]);
  await ending(thing, owner, state, [a, b, c]);
  await deleting(thing, owner, state, d);
  await check("and nothing beside these", async () => {
    await new Promise((resolve) => setTimeout(resolve, ARRIVED_MS));
    noMore(thing, state);
  });
}

module.exports = { events };
