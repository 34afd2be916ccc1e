// docs/how-to/vscode, the extension, with a stand-in for VS Code: what it starts.
"use strict";

const Module = require("node:module");
const path = require("node:path");
const { check, same, section } = require("./report");

const FOLDER = path.join(__dirname, "../../../docs/how-to/vscode");

class DebugAdapterExecutable {
  constructor(command, args) {
    Object.assign(this, { command, args });
  }
}

/** Activate the extension. @return { type, factory } of what it registers */
function activate() {
  const found = {};
  const vscode = {
    DebugAdapterExecutable,
    debug: {
      registerDebugAdapterDescriptorFactory: (type, factory) => Object.assign(found,
        { type, factory }),
    },
  };
  const load = Module._load;
  Module._load = (name, ...rest) => (name === "vscode" ? vscode : load(name, ...rest));
  try {
    require(path.join(FOLDER, "extension.js")).activate({ subscriptions: [] });
  } finally {
    Module._load = load;
  }
  return found;
}

function asked(factory, configuration) {
  const { command, args } = factory.createDebugAdapterDescriptor({ configuration },
    { command: "as package.json says", args: [] });
  return [command, ...args];
}

async function extension() {
  section("the extension for VS Code");
  const about = require(path.join(FOLDER, "package.json"));
  await check("names the program, and a snippet for each request", () => {
    const [debug] = about.contributes.debuggers;
    same([debug.type, debug.runtime, ...debug.runtimeArgs], ["hob", "hob", "dap"]);
    const kinds = debug.configurationSnippets.map((one) => one.body.request);
    same([...new Set(kinds)].sort(), Object.keys(debug.configurationAttributes).sort());
  });
  await check("starts hob here, or through ssh", () => {
    const { type, factory } = activate();
    same(type, "hob");
    same(asked(factory, {}), ["as package.json says"]);
    same(asked(factory, { gateway: "root@gw" }), ["ssh", "-T", "--", "root@gw", "hob", "dap"]);
    same(asked(factory, { gateway: "gw", command: ["sudo", "hob", "dap"] }),
      ["ssh", "-T", "--", "gw", "sudo", "hob", "dap"]);
    same(asked(factory, { command: ["/opt/hob", "dap"] }), ["/opt/hob", "dap"]);
  });
}

module.exports = { extension };
