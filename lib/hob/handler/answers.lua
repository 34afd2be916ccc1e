-- answers.lua - what a call of a handler's gets in place of the world: what a script of answers
-- says, else something plausible (--dry-run) or a refusal (hob.testing).
--
--     local answers = answering.new({ exec = { { "systemctl restart *", code = 1 } } }, "dry")
--     local packed = answers:answer(call)    -- nil: the real function is to run
-- Spec: spec/unit/testing_spec.lua

local files = require("hob.handler.files")
local values = require("hob.handler.values")
local verify = require("hob.verify")

local M = {}

---------------------------------------------------------------- patterns

-- `*` in a word stands for any characters.
local function glob(pattern, text)
  local lua = pattern:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*")
  return text:find("^" .. lua .. "$") ~= nil
end

local function words_of(text)
  local words = {}
  for word in text:gmatch("%S+") do
    words[#words + 1] = word
  end
  return words
end

-- A last word `*` stands for any more words, also none.
local function matches_words(patterns, words)
  for i, pattern in ipairs(patterns) do
    if pattern == "*" and i == #patterns then
      return true
    elseif type(words[i]) ~= "string" or not glob(pattern, words[i]) then
      return false
    end
  end
  return #patterns == #words
end

local function matches_program(pattern, words)
  if type(pattern) == "function" then
    return pattern(words)
  elseif type(pattern) == "string" then
    pattern = words_of(pattern)
  end
  return matches_words(pattern, words)
end

local function matches_url(pattern, url)
  if type(pattern) == "function" then
    return pattern(url)
  end
  return glob(pattern, url)
end

---------------------------------------------------------------- results

local function pack(...)
  return table.pack(...)
end

local function failed(rule, otherwise)
  return pack(nil, rule.error, rule.error_code or otherwise)
end

local function words_for(result)
  if result.timed_out then
    return "timed out"
  elseif result.signal then
    return ("killed by signal %d"):format(result.signal)
  end
  return ("exit code %d"):format(result.code)
end

local function program_result(rule)
  local result = {
    code = rule.code, signal = rule.signal, timed_out = rule.timed_out or false,
    out_of_memory = rule.out_of_memory or false, stdout = rule.stdout or "",
    stderr = rule.stderr or "", stdout_cut = 0, stderr_cut = 0,
  }
  if not result.code and not result.signal and not result.timed_out then
    result.code = 0
  end
  result.words = rule.words or words_for(result)
  return result
end

-- What hob.exec.check raises.
local function program_problem(words, result)
  local last = result.stderr:match("([^\n]+)%s*$")
  return {
    message = ("%s: %s%s"):format(table.concat(words, " "), result.words,
      last and ": " .. last or ""),
    code = result.timed_out and "TIMED_OUT" or result.out_of_memory and "OUT_OF_MEMORY"
      or result.signal and "SIGNAL" or "EXIT_CODE",
    exit_code = result.code, signal = result.signal,
    stdout = result.stdout, stderr = result.stderr,
  }
end

-- What goes to files (`stdout = "FILE"`) is in them, and not in the result.
local function fill_files(self, command, result)
  local texts = {}
  for _, stream in ipairs({ "stdout", "stderr" }) do
    local path, text = command[stream], result[stream]
    if type(path) == "string" then
      texts[path] = (texts[path] or "") .. text
      result[stream], result[stream .. "_written"] = "", #text
    end
  end
  for path, text in pairs(texts) do
    local ok, message = self.files:put(path, text)
    if not ok then
      return message
    end
  end
end

local function answer_program(self, call, words, rule)
  local check = call.name == "exec.check"
  if rule.error then
    return check and { raise = { message = rule.error, code = "NOT_STARTED" } } or failed(rule)
  end
  local result, command = program_result(rule), call.arguments[1]
  local wrong = type(command) == "table" and fill_files(self, command, result)
  if wrong then
    return check and { raise = { message = wrong, code = "EIO" } } or pack(nil, wrong, "EIO")
  end
  if check and (result.code ~= 0 or result.timed_out) then
    return { raise = program_problem(words, result) }
  end
  return pack(result)
end

local NO_DIGEST = ("0"):rep(64)

local function answer_url(self, name, request, rule)
  if rule.error then
    return failed(rule, "EHTTP")
  end
  local body = rule.body or ""
  if name == "http.download" then
    local path, message = self.files:put(request.to or "download", body)
    if not path then
      return pack(nil, message, "EIO")
    end
    self.digests[request.to or ""] = rule.sha256 or request.sha256
    return pack({ path = path, bytes = #body, status = rule.status or 200, resumed_from = 0,
      sha256 = rule.sha256 or request.sha256 or NO_DIGEST })
  end
  return pack({ status = rule.status or 200, body = body, bytes = #body,
    content_type = rule.content_type or "text/plain", headers = rule.headers or {} })
end

---------------------------------------------------------------- which rule

local answers = {}
answers.__index = answers

local function use(rule)
  if type(rule) ~= "table" then
    return false
  end
  rule.used = (rule.used or 0) + 1
  return not rule.times or rule.used <= rule.times
end

local function find(rules, matches, value, method)
  for _, rule in ipairs(rules or {}) do
    if matches(rule[1], value) and (not rule.method or rule.method == method) and use(rule) then
      return rule
    end
  end
end

local function of_rule(rule, ...)
  if type(rule.answer) == "function" then
    local result = rule.answer(...)
    return type(result) == "table" and result or { code = result }
  end
  return rule
end

local function list_part(command)
  local words = {}
  for i, word in ipairs(type(command) == "table" and command or {}) do
    words[i] = tostring(word)
  end
  return words
end

-- Its options, too: as one would write it.
local function written(call)
  return call.name .. values.show_arguments(call.arguments, 400)
end

-- What the spec's author reads, and has to change.
local function unexpected(self, call, rules, known)
  local text = "unexpected call: " .. written(call)
  local lines = { text, call.where and "  at " .. call.where }
  if not rules or not rules[1] then
    lines[#lines + 1] = "  no answer was given for a call of this kind; give one as " .. known
  else
    lines[#lines + 1] = "  answers were given for:"
  end
  for _, rule in ipairs(rules or {}) do
    lines[#lines + 1] = "    " .. values.show(rule[1]) .. (rule.times
      and ("   (used %d of %d times)"):format(math.min(rule.used or 0, rule.times), rule.times)
      or "")
  end
  table.insert(self.problems, table.concat(lines, "\n"))
  return { raise = { message = text, code = "UNEXPECTED_CALL" } }
end

local function answer_exec(self, call)
  local words = list_part(call.arguments[1])
  local rules = self.script.exec
  local rule = find(rules, matches_program, words)
  if rule then
    return answer_program(self, call, words, of_rule(rule, words, call.arguments[1]))
  elseif self.strict then
    return unexpected(self, call, rules, 'exec = { { "PROGRAM *", code = 0 } }')
  end
  return answer_program(self, call, words, { words = "not run: --dry-run" })
end

local METHODS = { ["http.post"] = "POST", ["http.put"] = "PUT" }

local function answer_http(self, call)
  local request = call.arguments[1]
  request = type(request) == "table" and request or { url = tostring(request) }
  local rules = self.script.http
  local method = request.method or METHODS[call.name] or "GET"
  local rule = find(rules, matches_url, tostring(request.url), method)
  if rule then
    return answer_url(self, call.name, request, of_rule(rule, request))
  elseif self.strict then
    return unexpected(self, call, rules, 'http = { { "https://HOST/*", body = "..." } }')
  end
  return answer_url(self, call.name, request, {})
end

---------------------------------------------------------------- all the others, by name

local UNIT = { ActiveState = "active", SubState = "running", LoadState = "loaded", MainPID = 1,
  Result = "success", ExecMainCode = 0, ExecMainStatus = 0, NRestarts = 0,
  UnitFileState = "enabled" }

-- On any bench there is no cloud.
local CLOUD = {
  ["cloud.connected"] = function() return true end,
  ["cloud.files"] = function()
    return { ca = "/etc/hob/ca.pem", cert = "/etc/hob/thing.crt", key = "/etc/hob/thing.key" }
  end,
  ["cloud.reconnect"] = function() return true end,
  ["cloud.wait_online"] = function() return true end,
  ["cloud.publish"] = function() return true end,
  ["cloud.subscribe"] = function() return true end, -- the recorder makes an object of it
}

local PLAUSIBLE = {
  ["aws.credentials"] = function()
    return { access_key_id = "AKIAEXAMPLE", secret_access_key = "example",
      session_token = "example", expires = 4102444800 }
  end,
  ["aws.put_s3"] = function(options)
    return { url = ("s3://%s/%s"):format(options.bucket, options.key), etag = "example" }
  end,
  ["keys.csr"] = function()
    return "-----BEGIN CERTIFICATE REQUEST-----\nexample\n-----END CERTIFICATE REQUEST-----\n"
  end,
  ["scripts.directory"] = function() return "/etc/hob/scripts" end,
  ["scripts.directories"] = function() return { "/etc/hob/scripts" } end,
  ["scripts.list"] = function() return {} end,
  ["systemd.is_active"] = function() return true, "active" end,
  ["systemd.status"] = function() return UNIT end,
  ["verify.signers"] = function() return { "/etc/hob/release.crt" } end,
  ["systemd.run"] = function() return program_result({ words = "not run: --dry-run" }) end,
}

-- An answer by name: a function, or the value itself.
local function named(self, call)
  local given = self.script.calls and self.script.calls[call.name]
  if type(given) == "function" then
    return pack(given(table.unpack(call.arguments, 1, call.arguments.n)))
  elseif given ~= nil then
    return pack(given)
  end
  local plausible = CLOUD[call.name] or not self.strict and PLAUSIBLE[call.name]
  return plausible and pack(plausible(call.arguments[1])) or nil
end

local function answer_other(self, call)
  if self.strict then
    return unexpected(self, call, nil, ('calls = { ["%s"] = true }'):format(call.name))
  end
  return pack(true)
end

---------------------------------------------------------------- the clock

local function answer_clock(self, call)
  local clock = self.clock
  if call.name == "time.mono" or call.name == "os.clock" then
    return pack(clock.now - clock.start)
  elseif call.name == "time.now" or call.name == "os.time" then
    return pack(call.name == "os.time" and clock.now // 1 | 0 or clock.now)
  elseif call.name == "os.date" then
    return pack(os.date(call.arguments[1] or "%c", clock.now // 1 | 0))
  end
end

---------------------------------------------------------------- by module

local MODULES = { exec = answer_exec, http = answer_http }
local REAL = { ["fs.tempdir"] = true, ["job:fresh_args"] = true, ["time.sleep"] = true }

function MODULES.fs(self, call)
  local answer, known = self.files:answer(call)
  if answer or not self.strict or known then
    return answer
  end
  return unexpected(self, call, nil, ('files = { [%q] = "what is in it" }'):format(
    tostring(call.arguments[1])))
end

function MODULES.time(self, call)
  return self.clock and answer_clock(self, call) or nil
end

function MODULES.os(self, call)
  if call.name == "os.getenv" then
    local env = self.script.env or self.strict and {}
    return env and pack(env[call.arguments[1]]) or nil
  end
  return self.clock and answer_clock(self, call) or nil
end

function MODULES.math()
  return nil
end

-- Of files that are not there; what lies in the job's own directory is read for real.
function MODULES.verify(self, call)
  local path = call.arguments[1]
  if call.name ~= "verify.sha256" or type(path) ~= "string" then
    return answer_other(self, call)
  elseif self.digests[path] then
    return pack(self.digests[path])
  end
  local answer = self.files:answer({ name = "fs.read", arguments = { path, n = 1 } })
  if answer and answer[1] then
    return pack(verify.sha256_text(answer[1]))
  end
  return answer
end

--- What a call gets in place of the world.
---@param call table  { name, arguments, where }
---@return table|nil packed  nil: the real function is to run; else packed results, or { raise = … }
function answers:answer(call)
  if REAL[call.name] then
    return nil
  end
  local answer = named(self, call)
  if answer then
    return answer
  end
  local module = MODULES[call.name:match("^[^.:]+")]
  return (module or answer_other)(self, call)
end

--- The device's clock went on.
function answers:sleep(seconds)
  if self.clock then
    self.clock.now = self.clock.now + seconds
  end
end

--- Rules of `exec` and `http` that no call has used.
---@return string[]
function answers:unused()
  local unused = {}
  for _, kind in ipairs({ "exec", "http" }) do
    for _, rule in ipairs(self.script[kind] or {}) do
      if not rule.used then
        unused[#unused + 1] = kind .. ": " .. values.show(rule[1])
      end
    end
  end
  return unused
end

--- Without a world to protect: only what is no device's own is answered.
---@return table|nil packed
function M.of_bench(call)
  local plausible = CLOUD[call.name]
  return plausible and pack(plausible()) or nil
end

---@class hob.answers
---@field exec? table[]   { pattern, code=, stdout=, stderr=, signal=, timed_out=, error=, times= }
---@field http? table[]   { url, status=, body=, sha256=, error=, error_code=, method=, times= }
---@field files? table    path -> content, true for a directory
---@field calls? table    name of a function -> its result, or a function
---@field env? table      for os.getenv
---@field clock? number   seconds since 1970

local MEMBERS = { exec = "table", http = "table", files = "table", calls = "table", env = "table",
  clock = "number" }

--- What is wrong with a script of answers.
---@return string|nil message
function M.check(script)
  if type(script) ~= "table" then
    return ("answers: expected a table, got %s"):format(type(script))
  end
  for key, value in pairs(script) do
    if not MEMBERS[key] then
      return ("answers: unknown member '%s'; known: calls, clock, env, exec, files, http"):format(
        tostring(key))
    elseif type(value) ~= MEMBERS[key] then
      return ("answers.%s: expected %s, got %s"):format(key, MEMBERS[key], type(value))
    end
  end
  for _, kind in ipairs({ "exec", "http" }) do
    for i, rule in ipairs(script[kind] or {}) do
      if type(rule) ~= "table" or rule[1] == nil then
        return ("answers.%s[%d]: expected a table that begins with a pattern, got %s"):format(kind,
          i, values.show(rule, 60))
      end
    end
  end
end

---@param script hob.answers
---@param mode "dry"|"test"
---@return table
function M.new(script, mode)
  local strict = mode == "test"
  local start = script.clock or strict and 1767225600 or nil
  return setmetatable({
    script = script, strict = strict, problems = {},
    files = files.new(script.files or {}, strict), digests = {},
    clock = start and { start = start, now = start } or nil,
  }, answers)
end

return M
