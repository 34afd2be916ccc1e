--- `hob support`: one file with what somebody needs who is asked for help.
local archives = require("hob.support.archive")
local exec = require("hob.exec")
local fs = require("hob.fs")
local gather = require("hob.support.gather")
local gateways = require("hob.cli.gateway")
local jobs = require("hob.support.jobs")
local masks = require("hob.support.mask")
local options = require("hob.cli.options")
local places = require("hob.support.place")
local time = require("hob.time")

local M = {}

local USAGE = [==[
usage: hob support [JOB] [-o FILE] [--offline] [--data DIR | --config FILE | --socket PATH]

Writes one archive (tar, packed with gzip where that is installed) of at most 5 MB for whoever is
asked for help: versions, configuration, hob doctor, status, jobs, the newest events, handlers'
digests, the store's state, disk, clock, memory, processes; of JOB (else of the newest few) what
happened, what its programs printed, and its journal. Works with the gateway running or stopped,
with a damaged store and a broken configuration: what could not be got is named in README.txt.

Passphrases, private keys, tokens and URL queries are taken out. Job documents are not in it. Look
into it before you send it all the same: what a program prints may hold secrets of its own.

  -o FILE        where it goes; default hob-support-TIME.tar.gz in this directory
  --offline      nothing of the network: for hob doctor
  --data DIR     the gateway's data directory (default /var/lib/hob)
  --config FILE  or its configuration, which names that
  --socket PATH  or its control socket

Exit status: 0; 1 if it could not be written; 2 for misuse.
]==]

local SYNTAX = {
  command = "hob support", usage = USAGE, words = 1,
  flags = {
    output = { value = "FILE" }, offline = {},
    data = gateways.FLAGS.data, socket = gateways.FLAGS.socket, config = gateways.FLAGS.config,
  },
}

local PARTS = { -- the most wanted first: what comes last is left out where it is too much
  { "versions.txt", gather.versions }, { "doctor.json", gather.doctor },
  { "status.json", gather.status }, { "hob.conf.lua", gather.config },
  { "clock.txt", gather.clock }, { "disk.txt", gather.disk },
  { "processes.txt", gather.processes }, { "data.txt", gather.data },
  { "scripts.txt", gather.scripts },
}

local function say(format, ...)
  io.stderr:write(("hob support: %s\n"):format(format:format(...)))
end

--- Short flags are for this command alone.
local function long(argv)
  local words = {}
  for i, word in ipairs(argv) do
    words[i] = word == "-o" and "--output" or word:gsub("^%-o=?([^%-].*)$", "--output=%1")
  end
  return words
end

--- Packed where that is possible; a plain archive is as good.
local function pack(path)
  local packed = path .. ".gz-part"
  local result = exec.run({ "gzip", "-c", path, stdout = packed, timeout = 60, grace = 1 })
  if result and result.code == 0 and not result.stdout_error then
    local ok = fs.chmod(packed, "600") and fs.rename(packed, path)
    if ok then
      return true
    end
  end
  fs.remove(packed)
  return false
end

--- @return boolean|nil ok, string|nil why
local function write(path, text)
  local part = path .. ".part"
  fs.remove(part)
  local ok, why = fs.write(part, text, { mode = "600" })
  if ok then
    pack(part)
    ok, why = fs.rename(part, path)
  end
  if not ok then
    fs.remove(part)
  end
  return ok, why
end

local ABOUT = [[
A support archive of Hob, made %s%s.
Data directory: %s
Configuration: %s
Gateway: %s]]

local function about(archive, place, job)
  local gateway = place.silent and "runs and does not answer: " .. place.silent
    or place.pid and "process " .. place.pid or "does not run"
  return ABOUT:format(time.text(archive.made), job and " for job " .. job or "", place.data,
    place.config or "not known", gateway)
end

local function fill(archive, place, given)
  for _, note in ipairs(place.notes) do
    archive:note("%s", note)
  end
  for _, part in ipairs(PARTS) do
    archive:try(part[1], part[2], place, given)
  end
  archive:try("jobs", jobs.add, place, given[1])
  archive:try("events.log", jobs.events, place)
  archive:try("journal.txt", gather.unit)
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(long(argv), SYNTAX)
  if not given then
    return code
  end
  local place, misuse = places.find(given)
  if not place then
    return select(2, options.mistake("hob support", "%s", misuse))
  end
  local path = given.output or ("hob-support-%s.tar.gz"):format(
    (time.text(time.now()):gsub("%.%d+Z$", ""):gsub("[^%dT]", "")))
  local archive = archives.new(masks.new(places.secrets(place)))
  fill(archive, place, given)
  local ok, why = write(path, archive:pack(about(archive, place, given[1])))
  if not ok then
    say("%s", why)
    return 1
  end
  print(path)
  for _, note in ipairs(archive.notes) do
    say("not in it, or special: %s", note)
  end
  return 0
end

return M
