-- run-command.lua - run one program, without a shell.
--
-- { "operation": "run-command", "command": ["systemctl", "restart", "nginx"] }
-- As text, words are separated by commas (`\,` is a comma), as in AWS's template AWS-Run-Command.
-- The program must be in commands = { allow = { ... } } in the gateway's configuration.

local exec = require("hob.exec")
local places = require("hob.steps.places")

local function read(given)
  local words, message = places.read_command(given.command, "command")
  return words and { command = words } or nil, message
end

return {
  api = 1,
  description = "Run one program that the configuration allows",
  names = { "shell-command-handler" }, -- AWS's sample of the same
  args = read,
  positional = { "command..." },
  run = function(job, args)
    job:step("run", function()
      local words = table.move(args.command, 1, #args.command, 1, { report = true })
      words.user = job.user
      exec.check(words)
    end)
  end,
  examples = {
    { operation = "run-command", command = { "echo", "Hello, world" } },
    { operation = "run-command", command = "echo,Hello\\, world" },
  },
}
