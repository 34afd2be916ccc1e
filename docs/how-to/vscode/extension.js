// The one thing that package.json cannot say: which machine the debug adapter runs on. Without
// `gateway` it is `hob dap` here, as package.json has it.
"use strict";

const vscode = require("vscode");

function adapter(session, executable) {
  const { gateway, command } = session.configuration;
  if (gateway) {
    return new vscode.DebugAdapterExecutable("ssh", ["-T", "--", gateway,
      ...(command || ["hob", "dap"])]);
  } else if (command) {
    return new vscode.DebugAdapterExecutable(command[0], command.slice(1));
  }
  return executable;
}

exports.activate = (context) => {
  context.subscriptions.push(vscode.debug.registerDebugAdapterDescriptorFactory("hob", {
    createDebugAdapterDescriptor: adapter,
  }));
};
