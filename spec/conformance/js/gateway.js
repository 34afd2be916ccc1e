// A gateway, `hob run`, for dap.js: with handlers, behind the broker of the conformance world.
"use strict";

const { execFileSync, spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const THING = "dap-gateway";
const PATIENCE_MS = 30000;

async function until(fn, what) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = fn();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

class Gateway {
  constructor(world, dir, scripts) {
    this.world = world;
    this.data = path.join(dir, "data");
    this.config = path.join(dir, "hob.conf.lua");
    this.log = [];
    const user = os.userInfo().uid === 0 ? '  exec_user = "root",\n' : "";
    fs.writeFileSync(this.config, `return {
  endpoint = "localhost", port = ${world.tls_port}, thing_name = "${THING}",
  ca = "${world.ca}", cert = "${world.cert}", key = "${world.key}",
  scripts = "${scripts}", data = "${this.data}", log_format = "json", log_level = "debug",
  max_concurrent_jobs = 4,
${user}}
`);
  }

  async start() {
    this.process = spawn(this.world.hob, ["run", "--config", this.config]);
    process.once("exit", () => this.process.kill("SIGKILL"));
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on("data", (data) => this.log.push(...data.toString().split("\n")));
    }
    await until(() => fs.existsSync(path.join(this.data, "hob.sock")), "the control socket");
  }

  hob(...words) {
    return execFileSync(this.world.hob, words, { encoding: "utf8", timeout: PATIENCE_MS });
  }

  /** A job for it, which waits until \`go\` is there. */
  async begin(job, document) {
    const file = path.join(this.data, `${job}.json`);
    fs.writeFileSync(file, JSON.stringify(document));
    this.hob("job", "create", "--service", this.world.hob_url, "--thing", THING,
      "--job-id", job, "--document", file);
    await until(() => this.says("job.step", job), `the first step of ${job}`);
  }

  says(event, job) {
    return this.log.find((line) => line.includes(`"event":"${event}"`)
      && (!job || line.includes(`"job":"${job}"`)));
  }

  describe(job) {
    return JSON.parse(this.hob("job", "describe", "--service", this.world.hob_url, "--thing", THING,
      "--job-id", job, "--json"));
  }

  /** The execution, once it has ended. */
  async ended(job) {
    return until(() => {
      const told = this.describe(job);
      const execution = told.execution || told;
      return !["QUEUED", "IN_PROGRESS"].includes(execution.status) && execution;
    }, `the end of ${job}`);
  }

  stop() {
    return new Promise((resolve) => {
      this.process.once("exit", resolve);
      this.process.kill("SIGTERM");
    });
  }
}

module.exports = { Gateway, until };
