--- `hob repl` with its input from a file or a pipe: line by line, without prompts, and with a
--- status.
local process = require("hob.process")

local M = {}

local function print_text(text)
  io.stdout:write(text):flush()
end

---@param client hob.repl.client
---@param first string|nil  what is run before the input
---@return integer code
function M.run(client, first)
  local failed, text = false, first
  while true do
    local line = not text and process.read_line()
    if not text and not line then
      return failed and 1 or 0
    end
    text = text or line
    local answer, why = client:run(text, print_text)
    while answer and answer.more do
      line = process.read_line()
      if not line then
        io.stderr:write("hob repl: the input ends in the middle of: ", text:sub(1, 200), "\n")
        return 1
      end
      text = text .. "\n" .. line
      answer, why = client:run(text, print_text)
    end
    if not answer then
      io.stderr:write("hob repl: ", why, "\n")
      return 1
    elseif answer.quit then
      return failed and 1 or 0
    end
    if first and not answer.ok then
      return 1 -- what follows was meant for that job
    end
    failed = failed or not answer.ok
    text, first = nil, nil
  end
end

M.print_text = print_text

return M
