// `hob dap` under the client library that VS Code's debug adapters are tested with: every request,
// against a job of a running gateway, and against a handler on the bench.
//
//     node dap.js WORLD.json
"use strict";

const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");
const { DebugClient } = require("@vscode/debugadapter-testsupport");
const { Gateway } = require("./gateway");
const handlers = require("./handlers");
const { check, run, same, section } = require("./report");
const { extension } = require("./vscode");

const EVENT_MS = 15000;

/** A DebugClient that keeps its events, so that none is missed between two lines of a check. */
class Editor extends DebugClient {
  constructor(world) {
    super(world.hob, "dap", "hob");
    this.defaultTimeout = EVENT_MS;
    this.kept = [];
    for (const name of ["initialized", "stopped", "continued", "output", "thread", "breakpoint",
      "terminated", "exited"]) {
      this.on(name, (event) => {
        this.kept.push(event);
        this.emit("kept");
      });
    }
  }

  /** The first event that fits and was not taken yet. */
  async take(name, fits = () => true) {
    const deadline = Date.now() + EVENT_MS;
    for (;;) {
      const at = this.kept.findIndex((event) => event.event === name && fits(event.body || {}));
      if (at >= 0) return this.kept.splice(at, 1)[0].body;
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          this.removeListener("kept", resolve);
          const rest = this.kept.map((event) => JSON.stringify(event)).join("\n");
          reject(new Error(`no event ${name}; there were: ${rest}`));
        }, deadline - Date.now());
        this.once("kept", () => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  async stopped(reason) {
    const body = await this.take("stopped");
    same(body.reason, reason, `stopped for ${JSON.stringify(body)}`);
    this.thread = body.threadId;
    return body;
  }

  async frames(more) {
    const { body } = await this.stackTraceRequest({ threadId: this.thread, ...more });
    return body;
  }

  /** The innermost frame, which must be there. */
  async at(file, line) {
    const { stackFrames } = await this.frames({ startFrame: 0, levels: 20 });
    const top = stackFrames.find((frame) => frame.presentationHint !== "subtle");
    same([top.source.path, top.line], [file, line]);
    this.frame = top.id;
    return top;
  }

  async locals() {
    const { body } = await this.scopesRequest({ frameId: this.frame });
    const scope = body.scopes.find((one) => one.name === "Locals");
    this.localsReference = scope.variablesReference;
    return this.members(scope.variablesReference);
  }

  async members(reference, more) {
    const { body } = await this.variablesRequest({ variablesReference: reference, ...more });
    return Object.fromEntries(body.variables.map((one) => [one.name, one]));
  }

  async evaluate(expression, context = "repl") {
    const { body } = await this.evaluateRequest({ expression, context, frameId: this.frame });
    return body;
  }

  async breakpoints(file, breakpoints) {
    const { body } = await this.setBreakpointsRequest({ source: { path: file }, breakpoints });
    return body.breakpoints;
  }

  async refused(promise, words) {
    await assert.rejects(promise, (error) => {
      assert.match(error.message, words);
      return true;
    });
  }
}

const UNTIL_DONE = { supportsConfigurationDoneRequest: true, supportsFunctionBreakpoints: true,
  supportsConditionalBreakpoints: true, supportsHitConditionalBreakpoints: true,
  supportsLogPoints: true, supportsBreakpointLocationsRequest: true, supportsEvaluateForHovers: true,
  supportsSetVariable: true, supportsSetExpression: true, supportsCompletionsRequest: true,
  supportsExceptionInfoRequest: true, supportsTerminateRequest: true,
  supportTerminateDebuggee: true };

/** initialize, launch or attach, breakpoints, configurationDone. `go` lets the handler run. */
async function beginning(dc, scripts, kind, args) {
  const probe = scripts.path("probe.lua");
  await check("initialize says what there is", async () => {
    await dc.start();
    const { body } = await dc.initializeRequest();
    for (const [name, value] of Object.entries(UNTIL_DONE)) same(body[name], value, name);
    same(body.exceptionBreakpointFilters.map((one) => one.filter), ["raised", "uncaught"]);
    same(body.supportsStepBack, undefined);
  });
  await check(`${kind}, then the event initialized`, async () => {
    await dc[`${kind}Request`](args);
    await dc.take("initialized");
  });
  await check("setBreakpoints: with a condition, moved to a line with code", async () => {
    const line = scripts.line("probe.lua", "nothing");
    const [moved, exact] = await dc.breakpoints(probe, [{ line },
      { line: scripts.line("probe.lua", "add"), condition: "i == 2" }]);
    same([moved.verified, moved.line], [true, line + 1]);
    same([exact.verified, exact.line], [true, scripts.line("probe.lua", "add")]);
    dc.second = exact.id;
  });
  await check("breakpointLocations: lines with code, and no others", async () => {
    const line = scripts.line("probe.lua", "nothing");
    const { body } = await dc.customRequest("breakpointLocations",
      { source: { path: probe }, line, endLine: line + 1 });
    same(body.breakpoints, [{ line: line + 1 }]);
  });
  await check("setFunctionBreakpoints: a step of the job", async () => {
    const { body } = await dc.setFunctionBreakpointsRequest({ breakpoints: [{ name: "report" }] });
    same(body.breakpoints.length, 1);
  });
  await check("setExceptionBreakpoints", async () => {
    await dc.setExceptionBreakpointsRequest({ filters: ["uncaught"] });
    await dc.refused(dc.setExceptionBreakpointsRequest({ filters: ["all"] }), /expected raised or/);
  });
  await check("configurationDone", () => dc.configurationDoneRequest());
}

/** While it sleeps in its first step. */
async function paused(dc, scripts) {
  await check("threads: the job, with its step", async () => {
    let name;
    for (let i = 0; i < 500 && !/step 'wait'/.test(name); i++) {
      const { body } = await dc.threadsRequest();
      if (body.threads.length === 1) [dc.thread, name] = [body.threads[0].id, body.threads[0].name];
    }
    assert.match(name, /probe, step 'wait'/);
  });
  await check("pause stops a job that sleeps, where it sleeps", async () => {
    await dc.pauseRequest({ threadId: dc.thread });
    await dc.stopped("pause");
    await dc.at(scripts.path("probe.lua"), scripts.line("probe.lua", "sleep"));
  });
  await check("continue", async () => {
    const { body } = await dc.continueRequest({ threadId: dc.thread });
    same(body.allThreadsContinued, false);
  });
}

async function looking(dc, scripts, go) {
  const probe = scripts.path("probe.lua");
  await check("a breakpoint stops it, on a line that was moved to", async () => {
    fs.writeFileSync(go, "");
    const body = await dc.stopped("breakpoint");
    same(body.allThreadsStopped, false);
    if (dc.held) assert.match(body.description, /goes on by itself in/);
    await dc.at(probe, scripts.line("probe.lua", "list"));
    await dc.continueRequest({ threadId: dc.thread });
  });
  await check("a condition stops it in its pass of the loop", async () => {
    const body = await dc.stopped("breakpoint");
    same(body.hitBreakpointIds, [dc.second]);
    await dc.at(probe, scripts.line("probe.lua", "add"));
  });
  await check("stackTrace: in pages, Hob's own frames subtle", async () => {
    const { stackFrames, totalFrames } = await dc.frames();
    same(stackFrames.length, totalFrames);
    assert.ok(totalFrames > 1, `${totalFrames} frames`);
    same(stackFrames[0].presentationHint, undefined);
    assert.ok(stackFrames.slice(1).some((frame) => frame.presentationHint === "subtle"));
    const page = await dc.frames({ startFrame: 1, levels: 1 });
    same([page.stackFrames.length, page.totalFrames], [1, totalFrames]);
    same(page.stackFrames[0].name, stackFrames[1].name);
  });
  await check("scopes and variables: locals with their types", async () => {
    const locals = await dc.locals();
    same([locals.i.value, locals.total.value, locals.total.type], ["2", "1", "number"]);
    const scopes = (await dc.scopesRequest({ frameId: dc.frame })).body.scopes;
    same(scopes.map((one) => one.name), ["Locals", "Upvalues", "Globals"]);
    const upvalues = await dc.members(scopes[1].variablesReference);
    same(upvalues.limit.value, "3");
  });
  await check("variables: members, and a large list in pages", async () => {
    const locals = await dc.locals();
    same([locals.list.indexedVariables, locals.list.namedVariables], [1, 2]);
    const list = await dc.members(locals.list.variablesReference);
    same(list.big.indexedVariables, 250);
    same(list.big.evaluateName, "list.big");
    const page = await dc.members(list.big.variablesReference,
      { filter: "indexed", start: 100, count: 3 });
    same(Object.values(page).map((one) => one.value), ["10201", "10404", "10609"]);
  });
  await check("evaluate: repl, watch and hover", async () => {
    same((await dc.evaluate("total + i * 10")).result, "21");
    same((await dc.evaluate("#list.big", "watch")).result, "250");
    same((await dc.evaluate("list.limit", "hover")).result, "3");
    const table = await dc.evaluate("list.big");
    same((await dc.members(table.variablesReference, { filter: "indexed", start: 1, count: 1 }))["[2]"]
      .value, "4");
  });
  await check("evaluate: what cannot be, with the reason", async () => {
    await dc.refused(dc.evaluate("total +"), /./);
    await dc.refused(dc.evaluate("nothing.at_all"), /nothing/);
    await dc.refused(dc.evaluate("total = 5", "hover"), /under the mouse/);
    await dc.refused(dc.evaluate("total = 5", "watch"), /./);
    await dc.refused(dc.evaluate("sums.add(1, 2)", "hover"), /under the mouse/);
    same((await dc.evaluate("total")).result, "1");
  });
  await check("completions: a local, and fields", async () => {
    const { body } = await dc.completionsRequest({ frameId: dc.frame, text: "1 + tot", column: 8 });
    const found = body.targets.find((one) => one.label.startsWith("tot"));
    same([found.label, found.start, found.length], ["total", 5, 3]);
    const fields = await dc.completionsRequest({ frameId: dc.frame, text: "list.b", column: 7 });
    assert.ok(fields.body.targets.some((one) => one.label.endsWith("big")));
  });
  await check("setVariable and setExpression change the job", async () => {
    const { body } = await dc.setVariableRequest({ variablesReference: dc.localsReference,
      name: "total", value: "40 + 60" });
    same([body.value, body.type], ["100", "number"]);
    same((await dc.evaluate("total")).result, "100");
    const set = await dc.customRequest("setExpression",
      { expression: "list.limit", value: "7", frameId: dc.frame });
    same(set.body.value, "7");
    same((await dc.evaluate("list.limit")).result, "7");
  });
}

async function stepping(dc, scripts) {
  const probe = scripts.path("probe.lua");
  const sums = scripts.path("lib/sums.lua");
  await check("stepIn goes into a module of the handler's", async () => {
    await dc.stepInRequest({ threadId: dc.thread });
    await dc.stopped("step");
    await dc.at(sums, scripts.line("lib/sums.lua", "sum"));
    same((await dc.locals()).a.value, "100");
  });
  await check("next: the line after `local x = …` sees x", async () => {
    await dc.nextRequest({ threadId: dc.thread });
    await dc.stopped("step");
    await dc.at(sums, scripts.line("lib/sums.lua", "sum-end"));
    same((await dc.locals()).sum.value, "102");
  });
  await check("stepOut comes back to the caller", async () => {
    await dc.stepOutRequest({ threadId: dc.thread });
    await dc.stopped("step");
    const { stackFrames } = await dc.frames({ levels: 1 });
    same(stackFrames[0].source.path, probe);
  });
  await check("a log point is told and does not stop; a hit count stops in its turn", async () => {
    const [log] = await dc.breakpoints(sums, [{ line: scripts.line("lib/sums.lua", "sum"),
      logMessage: "adds {b} to {a}" }]);
    same(log.verified, true);
    await dc.breakpoints(probe, [{ line: scripts.line("probe.lua", "keep"), hitCondition: "==1" }]);
    await dc.continueRequest({ threadId: dc.thread });
    await dc.stopped("breakpoint");
    await dc.at(probe, scripts.line("probe.lua", "keep"));
    same((await dc.locals()).i.value, "3");
    const said = await dc.take("output", (body) => /adds/.test(body.output));
    same(said.output, "adds 3 to 102\n");
    await dc.breakpoints(sums, []);
  });
}

async function ending(dc, scripts) {
  const probe = scripts.path("probe.lua");
  await check("an error that is raised and caught; exceptionInfo", async () => {
    await dc.breakpoints(probe, []);
    await dc.setExceptionBreakpointsRequest({ filters: ["raised"] });
    await dc.continueRequest({ threadId: dc.thread });
    await dc.stopped("exception");
    await dc.at(probe, scripts.line("probe.lua", "raise"));
    const { body } = await dc.exceptionInfoRequest({ threadId: dc.thread });
    assert.match(body.description, /./);
    await dc.setExceptionBreakpointsRequest({ filters: [] });
  });
  await check("a step of the job stops it: function breakpoint", async () => {
    await dc.continueRequest({ threadId: dc.thread });
    await dc.stopped("function breakpoint");
  });
}

async function changed(dc, scripts) {
  await check("source: the text that runs, where the file is another one by now", async () => {
    const probe = scripts.path("probe.lua");
    fs.writeFileSync(probe, `-- changed\n${scripts.text("probe.lua")}`);
    const { stackFrames } = await dc.frames({ levels: 20 });
    const frame = stackFrames.find((one) => one.source && one.source.path === probe);
    assert.ok(frame.source.sourceReference > 0, JSON.stringify(frame.source));
    const { body } = await dc.sourceRequest({ source: frame.source,
      sourceReference: frame.source.sourceReference });
    same(body.content, scripts.text("probe.lua"));
    fs.writeFileSync(probe, scripts.text("probe.lua"));
  });
}

async function wrong(dc) {
  await check("an unknown request, one too late, wrong arguments: each is answered", async () => {
    await dc.refused(dc.customRequest("stepBack", { threadId: 1 }), /no such request/);
    await dc.refused(dc.attachRequest({}), /too late/);
    await dc.refused(dc.scopesRequest({ frameId: "x" }), /frameId: expected integer/);
    await dc.refused(dc.stackTraceRequest({ threadId: 4711 }), /./);
    await dc.refused(dc.variablesRequest({ variablesReference: 987654 }), /./);
  });
}

async function attached(world, gateway, scripts) {
  section("attached");
  const dc = new Editor(world);
  const go = path.join(gateway.data, "go-1");
  await check("a job begins on the gateway", () => gateway.begin("dap-1", { operation: "probe", go }));
  await beginning(dc, scripts, "attach", { job: "dap-1", data: gateway.data, write: true });
  await check("it is said how long the job may be held", async () => {
    await dc.take("output", (body) => /held|hold/.test(body.output));
    dc.held = true;
  });
  await paused(dc, scripts);
  await looking(dc, scripts, go);
  await stepping(dc, scripts);
  await wrong(dc);
  await changed(dc, scripts);
  await ending(dc, scripts);
  await check("terminate is refused: the job is the gateway's", async () => {
    await dc.refused(dc.terminateRequest({}), /disconnect/);
  });
  await check("disconnect lets the job go on, with what was changed", async () => {
    await dc.disconnectRequest({});
    const { status, statusDetails } = await gateway.ended("dap-1");
    same(status, "SUCCEEDED");
    same((statusDetails.detailsMap || statusDetails).total, "105");
  });
  dc.stopAdapter();
}

async function lookingOnly(world, gateway, scripts) {
  section("attached, to look");
  const go = path.join(gateway.data, "go-2");
  const dc = new Editor(world);
  await check("a job begins", () => gateway.begin("dap-2", { operation: "probe", go }));
  await check("a job that does not run is refused, with those that do", async () => {
    await dc.start();
    await dc.initializeRequest();
    await dc.refused(dc.attachRequest({ job: "dap-9", data: gateway.data }), /dap-2/);
    dc.stopAdapter();
  });
  const again = new Editor(world);
  await check("attach to all jobs", async () => {
    await again.start();
    await again.initializeRequest();
    await again.attachRequest({ data: gateway.data });
    await again.take("initialized");
    await again.breakpoints(scripts.path("probe.lua"), [{ line: scripts.line("probe.lua", "end") }]);
    await again.configurationDoneRequest();
    fs.writeFileSync(go, "");
    await again.stopped("breakpoint");
    await again.at(scripts.path("probe.lua"), scripts.line("probe.lua", "end"));
  });
  await check("setVariable is refused, until `:write on` is said", async () => {
    await again.locals();
    const set = { variablesReference: again.localsReference, name: "total", value: "8" };
    await again.refused(again.setVariableRequest(set), /only looks/);
    await again.refused(again.evaluate("total = 7"), /./);
    await again.evaluate(":write on");
    same((await again.setVariableRequest(set)).body.value, "8");
  });
  await check("the end of a job is told as the end of its thread", async () => {
    await again.continueRequest({ threadId: again.thread });
    await again.take("thread", (body) => body.reason === "exited");
    same((await gateway.ended("dap-2")).status, "SUCCEEDED");
    await again.stop();
  });
}

async function cancelling(world, gateway, scripts) {
  section("attached, to end it");
  const go = path.join(gateway.data, "go-3");
  const dc = new Editor(world);
  await check("disconnect with terminateDebuggee cancels the job", async () => {
    await gateway.begin("dap-3", { operation: "probe", go });
    await dc.start();
    await dc.initializeRequest();
    await dc.attachRequest({ job: "dap-3", data: gateway.data, write: true, stopOnEntry: true });
    await dc.configurationDoneRequest();
    await dc.stopped("pause");
    await dc.disconnectRequest({ terminateDebuggee: true });
    const { status } = await gateway.ended("dap-3");
    assert.ok(["FAILED", "CANCELED"].includes(status), status);
    dc.stopAdapter();
  });
}

async function launched(world, dir, scripts) {
  section("launched");
  const go = path.join(dir, "go-bench");
  const dc = new Editor(world);
  const args = { program: scripts.path("probe.lua"), args: { go, say: "hello from the bench" } };
  await beginning(dc, scripts, "launch", args);
  await paused(dc, scripts);
  await looking(dc, scripts, go);
  await stepping(dc, scripts);
  await wrong(dc);
  await changed(dc, scripts);
  await ending(dc, scripts);
  await check("output of programs, the outcome, and the exit code", async () => {
    await dc.continueRequest({ threadId: dc.thread });
    const said = await dc.take("output", (body) => body.category === "stdout");
    same(said.output, "hello from the bench\n");
    await dc.take("output", (body) => /^SUCCEEDED/.test(body.output));
    await dc.take("output", (body) => /total +105/.test(body.output));
    same((await dc.take("exited")).exitCode, 0);
    await dc.take("terminated");
    await dc.stop();
  });
}

async function launchedOtherwise(world, dir, scripts) {
  section("launched otherwise");
  const go = path.join(dir, "go-bench");
  await check("an error that nobody catches stops, and is the outcome", async () => {
    const dc = new Editor(world);
    await dc.start();
    await dc.initializeRequest();
    await dc.launchRequest({ handler: "probe", scripts: scripts.dir,
      document: { operation: "probe", go, fail: "it burns" } });
    await dc.take("initialized");
    await dc.setExceptionBreakpointsRequest({ filters: ["uncaught"] });
    await dc.configurationDoneRequest();
    await dc.stopped("exception");
    await dc.at(scripts.path("probe.lua"), scripts.line("probe.lua", "fail"));
    assert.match((await dc.exceptionInfoRequest({ threadId: dc.thread })).body.description, /it burns/);
    await dc.continueRequest({ threadId: dc.thread });
    same((await dc.take("exited")).exitCode, 1);
    await dc.stop();
  });
  await check("stopOnEntry stops at the handler's beginning; terminate ends it", async () => {
    const dc = new Editor(world);
    await dc.start();
    await dc.initializeRequest();
    await dc.launchRequest({ program: scripts.path("probe.lua"), args: { go: `${go}-not` },
      stopOnEntry: true });
    await dc.take("initialized");
    await dc.configurationDoneRequest();
    await dc.stopped("entry");
    await dc.terminateRequest({});
    await dc.take("terminated");
    await dc.stop();
  });
  await check("what cannot be launched is refused with the reason", async () => {
    const dc = new Editor(world);
    await dc.start();
    await dc.initializeRequest();
    await dc.refused(dc.launchRequest({}), /expected program/);
    await dc.refused(dc.launchRequest({ program: "x.txt" }), /NAME\.lua/);
    await dc.refused(dc.launchRequest({ handler: "x", scripts: "/nowhere" }), /no such directory/);
    await dc.refused(dc.launchRequest({ program: scripts.path("probe.lua"), documentFile: "/nope" }),
      /nope/);
    await dc.stop();
  });
}

process.on("SIGTERM", () => process.exit(1)); // with what it started: see gateway.js
run(async () => {
  const world = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
  const dir = fs.mkdtempSync(path.join(process.env.TMPDIR || "/tmp", "dap-"));
  const scripts = handlers.write(path.join(dir, "scripts"));
  await extension();
  await launched(world, dir, scripts);
  await launchedOtherwise(world, dir, scripts);
  section("");
  const gateway = new Gateway(world, dir, scripts.dir);
  await check("the gateway starts", () => gateway.start());
  await attached(world, gateway, scripts);
  await lookingOnly(world, gateway, scripts);
  await cancelling(world, gateway, scripts);
  section("");
  await check("the gateway ends in order", async () => same(await gateway.stop(), 0));
});
