-- run.lua - `./dev mutants [NAME...]`: does a spec go red when a protection is taken out?
--
-- Each NAME.patch of this folder begins with a line "Spec: ARGUMENTS OF ./dev test", says in plain
-- words what it breaks, and is a diff (patch -p1) of C or Lua. In a copy of the tree, below
-- build/mutants, the specs of all patches must be green first; then the patches are applied one by
-- one, built, and their own specs must be red. A patch that does not apply or build any more fails
-- the run, as one does that no spec notices.

local root = arg[0]:match("^(.*)/spec/[^/]*/[^/]*$") or "."
package.path = ("%s/?.lua;%s/lib/?.lua;%s/lib/?/init.lua;"):format(root, root, root) .. package.path

local exec = require("hob.exec")
local fs = require("hob.fs")
local process = require("hob.process")
local time = require("hob.time")

root = exec.check({ "pwd", cwd = root }).stdout:gsub("\n$", "") -- others have their own "here"

local LIMIT = 400   -- seconds for the specs of one patch
local PATIENCE = 15 -- of what a spec waits for: with a protection gone it often waits in vain
local BUILD_LIMIT = 900

local folder = root .. "/spec/mutants"
local copy = root .. "/build/mutants/tree"

local function say(...)
  io.stdout:write(string.format(...), "\n")
  io.stdout:flush()
end

local function fail(...)
  io.stderr:write("mutants: ", string.format(...), "\n")
  process.exit(2)
end

---------------------------------------------------------------- the patches

local function read_patch(name)
  local text = fs.read(("%s/%s.patch"):format(folder, name))
  if not text then
    fail("spec/mutants/%s.patch: no such file", name)
  end
  local spec = text:match("^Spec: ([^\n]+)\n")
  if not spec then
    fail("spec/mutants/%s.patch: expected 'Spec: ARGUMENTS' as its first line", name)
  end
  return { name = name, spec = spec, path = ("%s/%s.patch"):format(folder, name) }
end

local function patches(names)
  if #names == 0 then
    for _, entry in ipairs(assert(fs.list(folder))) do
      names[#names + 1] = entry:match("^(.*)%.patch$")
    end
    table.sort(names)
  end
  local list = {}
  for i, name in ipairs(names) do
    list[i] = read_patch(name)
  end
  if #list == 0 then
    fail("there are no patches in spec/mutants")
  end
  return list
end

---------------------------------------------------------------- the copy

-- Times are kept, so that only what has changed since the last run is built again.
local function refresh_copy()
  assert(fs.mkdir(copy))
  exec.check({ "sh", "-c", [[
    set -e
    cd "$2"
    find . -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
    cd "$1"
    tar c --exclude=./build --exclude=./.git . | tar x -C "$2"
  ]], "copy", root, copy, timeout = 120 })
  if not fs.stat(copy .. "/build/dev/build.ninja") then
    exec.check({ "cmake", "--preset", "dev", "-B", "build/dev", "-DHOB_WERROR=OFF", cwd = copy,
      timeout = 300 })
  end
end

local function build()
  return exec.run({ "ninja", "-C", "build/dev", cwd = copy, timeout = BUILD_LIMIT })
end

local function apply(patch, reverse)
  return exec.run({ "patch", reverse and "--reverse" or "--forward", "-p1", "--batch",
    "--no-backup-if-mismatch", "--reject-file=-", "--input=" .. patch.path, cwd = copy })
end

---------------------------------------------------------------- specs

-- The words of a Spec line; double quotes hold some together.
local function words_of(line)
  local words, rest = {}, line
  while rest ~= "" do
    local word, after = rest:match('^"([^"]*)"%s*(.*)$')
    if not word then
      word, after = rest:match("^(%S+)%s*(.*)$")
    end
    words[#words + 1], rest = word, after
  end
  return words
end

local function run_specs(line)
  local command = { "build/dev/hob", "lua", "spec/run.lua", "--no-keep-going", cwd = copy,
    timeout = LIMIT, env = { HOB_SPEC_PATIENCE = tostring(PATIENCE) }, tail = 1024 * 1024 }
  for _, word in ipairs(words_of(line)) do
    command[#command + 1] = word
  end
  local result = exec.run(command)
  local passed, failed = result.stdout:match("(%d+) passed, (%d+) failed[^\n]*\n*$")
  return {
    passed = tonumber(passed), failed = tonumber(failed), hung = result.timed_out,
    none = result.stderr:find("no spec ran", 1, true) ~= nil, text = result.stdout .. result.stderr,
  }
end

local function is_green(outcome)
  return outcome.failed == 0 and (outcome.passed or 0) > 0
end

local function is_red(outcome)
  return outcome.hung or (outcome.failed or 0) > 0 and not outcome.none
end

---------------------------------------------------------------- one patch

---@return string words, string? text, string? by  by: the first spec that noticed
local function judge(patch)
  local applied = apply(patch)
  if applied.code ~= 0 then
    return "does not apply", applied.stdout .. applied.stderr
  end
  local built = build()
  if built.code ~= 0 then
    return "does not build", built.stdout
  end
  local outcome = run_specs(patch.spec)
  if is_red(outcome) then
    return outcome.hung and "hung" or "red", nil, outcome.text:match("FAILED%s+([^\n]+)") or ""
  end
  return "GREEN", outcome.text
end

local function try(patch)
  local began = time.mono()
  local words, text, by = judge(patch)
  if words ~= "does not apply" then
    local back = apply(patch, true)
    if back.code ~= 0 then
      fail("%s could not be taken back:\n%s", patch.name, back.stdout .. back.stderr)
    end
  end
  say("  %-26s %-14s %4.0f s  %s", patch.name, words, time.mono() - began, (by or ""):sub(1, 150))
  if text then
    say("%s", (text:sub(-3000):gsub("[^\n]+", "      %0")))
  end
  return by ~= nil
end

-- What is red without a patch shows nothing.
---@return table<string, boolean> red  of Spec lines
local function check_unpatched(list)
  local seen, red = {}, {}
  for _, patch in ipairs(list) do
    if not seen[patch.spec] then
      seen[patch.spec] = true
      local outcome = run_specs(patch.spec)
      red[patch.spec] = not is_green(outcome)
      if red[patch.spec] then
        say("%s", outcome.text:sub(-3000))
        say("mutants: '%s' is red without a patch: mend that first", patch.spec)
      end
    end
  end
  return red
end

local function main(names)
  local list = patches(names)
  say("mutants: a copy of the tree, and its specs without a patch")
  refresh_copy()
  local built = build()
  if built.code ~= 0 then
    fail("the tree does not build:\n%s", built.stdout:sub(-3000))
  end
  local red = check_unpatched(list)
  say("mutants: %d protections, taken out one by one", #list)
  local found = 0
  for _, patch in ipairs(list) do
    found = found + (not red[patch.spec] and try(patch) and 1 or 0)
  end
  build()
  say("mutants: %d of %d were found by a spec", found, #list)
  process.exit(found == #list and 0 or 1)
end

main({ table.unpack(arg) })
