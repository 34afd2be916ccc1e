-- install-image.lua - A/B: install a system image in the slot that does not run, reboot into it,
-- confirm it when it reaches the cloud, go back when it does not.
--
-- { "operation": "install-image", "url": "https://...", "sha256": "64 hexadecimal digits",
--   "version": "2.4.1" }
-- By RAUC or SWUpdate, whichever is there; how, and where the version is read, can be said in
-- lib/image_settings.lua. SUCCEEDED means: this version runs in the other slot, has reached the
-- cloud, has passed `health`, and the boot loader has been told to keep it. What the boot loader
-- must do, and what must be set: docs/how-to/install-images.md.

local cloud = require("hob.cloud")
local exec = require("hob.exec")
local fresh_url = require("fresh_url")
local fs = require("hob.fs")
local http = require("hob.http")
local places = require("hob.steps.places")
local schema = require("hob.job.schema")
local time = require("hob.time")
local tools = require("image_tools")

local BOOT_TRIES, BOOT_WAIT = 30, 2

---------------------------------------------------------------- what the document says

local FIELDS = {
  url = { "string", pattern = "^[Hh][Tt][Tt][Pp][Ss]?://[^/%s]" },
  sha256 = { "string", pattern = "^%x+$", min = 64, max = 64 },
  version = { "string", max = 128 },
  size = { "integer?", min = 1 },
  tool = { "enum?", "rauc", "swupdate" },
  online = { "number", min = 1, max = 86400, default = 600 },
  health = "any?",
}

local function read(given)
  local args, problem = schema.read(FIELDS, given, "args")
  if args and args.health then
    args.health, problem = places.read_command(args.health, "health")
  end
  return not problem and args or nil, problem
end

---------------------------------------------------------------- steps

-- As assert, and the code goes on.
local function must(value, message, code)
  return value or error({ message = message, code = code }, 0)
end

local function megabytes(bytes)
  return ("%.1f MB"):format(bytes / 1e6)
end

local function look(job, args)
  local tool = must(tools.choose(args.tool))
  must(tools.may_run(tool))
  local now = { tool = tool.name, version = must(tools.version()), slot = must(tools.slot(tool)) }
  local free = args.size and must(fs.free(job.dir))
  if free and free < args.size then
    error({ code = "ENOSPC", message = ("no room for the image: it needs %s, %s are free in %s")
      :format(megabytes(args.size), megabytes(free), job.dir) }, 0)
  end
  return now
end

local function download(job, args, tool)
  local image = job.dir .. "/" .. tool.image
  must(http.download({
    url = args.url,
    sha256 = args.sha256:lower(),
    size = args.size,
    to = image,
    refresh = fresh_url(job, args),
    on_progress = function(bytes, total)
      if total > 0 then
        job:progress(bytes * 100 / total, "downloading")
      end
    end,
  }))
  return image
end

local function check_image(args, tool, image)
  local version, problem, code = tools.check(tool, image)
  must(version ~= nil, problem, code)
  if version and version ~= args.version then
    error({ code = "WRONG_VERSION", message = ("the image holds version %s, the document says %s")
      :format(version, args.version) }, 0)
  end
end

-- What runs. After a boot the tool's service may not be up yet.
local function what_runs(before)
  local tool, now = tools.of(before.tool), {}
  for try = 1, BOOT_TRIES do
    local slot, slot_problem = tools.slot(tool)
    local version, problem = tools.version()
    now.slot, now.version, now.problem = slot, version, slot_problem or problem
    if not now.problem or try == BOOT_TRIES then
      break
    end
    time.sleep(BOOT_WAIT)
  end
  return now
end

local function slot_that_runs(before)
  local now = what_runs(before)
  return must(now.slot, now.problem, "NOT_FOUND")
end

-- The power may have failed when the tool was done, but this step was not yet: then it is the new
-- slot that runs, and to install once more would overwrite the old one.
local function install(job, args, before, image)
  local tool, percent = tools.of(before.tool), 0
  if slot_that_runs(before) == before.slot then
    tools.install(tool, before.slot, image, function(now, text)
      percent = now and math.min(now, 100) or percent
      job:progress(percent, "installing: " .. text:sub(1, 200))
    end)
  end
  local on_trial = tools.setting("on_trial")
  if on_trial then
    must(fs.write(on_trial, args.version .. "\n"))
  end
  job.state.installed = true
end

local function trial_is_over()
  local on_trial = tools.setting("on_trial")
  if on_trial and fs.exists(on_trial) then
    must(fs.remove(on_trial))
  end
end

local function fell_back(args, version, slot)
  return ("the boot loader fell back: version %s runs in slot %s, not %s"):format(version, slot,
    args.version)
end

-- What came of the reboot: `fault` is why the image is not to be kept, `back` whether the boot
-- loader is to be told so. What cannot be read here was read before, so it is the image's fault.
local function judge(args, before)
  local now = what_runs(before)
  local slot, version = now.slot, now.version
  now.back = slot ~= before.slot
  if now.problem then
    now.fault, now.code = "after the reboot: " .. now.problem, "NOT_FOUND"
  elseif slot == before.slot and version == args.version then
    now.fault, now.code = ("version %s runs, but in the slot that ran before, %s: does `slot` in "
      .. "lib/image_settings.lua tell them apart?"):format(version, slot), "SAME_SLOT"
  elseif slot == before.slot then
    now.fault, now.code = fell_back(args, version, slot), "FELL_BACK"
  elseif version ~= args.version then
    now.fault, now.code = ("the image in slot %s says that it is version %s, not %s"):format(slot,
      version, args.version), "WRONG_VERSION"
  end
  return now
end

local function reach_the_cloud(args)
  if not cloud.wait_online(args.online) then
    return nil, ("version %s did not reach the cloud within %g s"):format(args.version,
      args.online), "NOT_ONLINE"
  end
end

-- The power may have failed since the reboot, and the boot loader have fallen back: then it is the
-- old slot that runs here.
local function mark_good(job, args, before)
  local slot = slot_that_runs(before)
  if slot == before.slot then
    error({ message = fell_back(args, before.version, slot), code = "FELL_BACK" }, 0)
  end
  tools.run(tools.of(before.tool).good)
  trial_is_over()
  job.state.good = true
end

-- All that must be so before the new image is kept.
local function confirm(job, args, before)
  job:step("reach the cloud", function() return reach_the_cloud(args) end)
  local health = args.health or tools.setting("health")
  if health then
    job:step("health", { tries = tools.setting("health_tries") or 5, backoff = 5 }, function()
      exec.check(table.move(health, 1, #health, 1, { timeout = 300 }))
    end)
  end
  job:step("mark good", { tries = 3, backoff = 2 }, function() mark_good(job, args, before) end)
end

-- Also when the boot loader cannot be told: an image that is not confirmed falls back by itself.
-- What fell back already stays as it is, and where nothing tells which slot runs none is marked.
local function mark_bad(before)
  local now = what_runs(before)
  local ok, problem = now.slot ~= nil, now.problem
  if ok and now.slot ~= before.slot then
    ok, problem = pcall(tools.run, tools.of(before.tool).bad)
  end
  pcall(trial_is_over) -- cleanup does it again, and reports it
  return { is_back = now.slot == before.slot, problem = not ok
    and (type(problem) == "table" and problem.message or tostring(problem)) or nil }
end

local function go_back(job, before, fault)
  local marked = job:step("mark bad", function() return mark_bad(before) end)
  if not marked.is_back then
    job:reboot("back to version " .. before.version)
  end
  local now = job:step("look again", function() return what_runs(before) end)
  if now.slot == before.slot then
    return nil, {
      message = ("%s; rolled back: version %s runs again in slot %s"):format(fault.message,
        now.version or before.version, now.slot),
      code = fault.code, step = fault.step,
    }
  end
  return nil, {
    message = ("%s; and it could not be rolled back: version %s still runs in slot %s%s"):format(
      fault.message, now.version or "?", now.slot or "?",
      marked.problem and ": " .. marked.problem or ""),
    code = "NOT_ROLLED_BACK", step = fault.step,
  }
end

-- It is installed. The power may have failed since, and then it runs already.
local function boot_into_it(job, args, before)
  local slot = job:step("look before the reboot", function() return slot_that_runs(before) end)
  if slot == before.slot then
    job:reboot("into version " .. args.version)
  end
end

---------------------------------------------------------------- when it ends otherwise

local function has_begun_to_install(job, why)
  local failed_by_itself = why.step == "install" and why.kind == "failed"
    and why.code ~= "TIMED_OUT"
  return job.results["install"] ~= nil or job.state.installed
    or (why.step == nil or why.step == "install") and not failed_by_itself
end

-- The slot that must not be booted, or not again, is taken out of the boot loader's way.
local function take_back(job, before, why)
  local tool = tools.of(before.tool)
  local slot = must(tools.slot(tool))
  if slot ~= before.slot then
    tools.run(tool.bad)
    job.log.warn(("slot %s runs, and is not confirmed: the next boot goes back to slot %s"):format(
      slot, before.slot))
  elseif not job.results["judge"] and has_begun_to_install(job, why) then
    tools.run(tool.undo)
  end
end

return {
  api = 1,
  description = "Install a system image (RAUC, SWUpdate), reboot into it, confirm it or go back",
  args = read,
  timeout = 6 * 3600,
  requires = { clock = true }, -- the tools check signatures, which have dates
  already_done = function(_, args) return tools.version() == args.version end,
  run = function(job, args)
    local before = job:step("look", function() return look(job, args) end)
    local tool = tools.of(before.tool)
    local image = job:step("download", {
      valid = function(path) return job.state.installed or fs.stat(path) end,
    }, function() return download(job, args, tool) end)
    job:step("check the image", function() check_image(args, tool, image) end)
    job:step("install", function() install(job, args, before, image) end)
    boot_into_it(job, args, before)

    local now = job:step("judge", function() return judge(args, before) end)
    if now.fault and not now.back then
      return nil, { message = now.fault, code = now.code }
    elseif now.fault then
      return go_back(job, before, { message = now.fault, code = now.code })
    end
    local ok, problem = pcall(confirm, job, args, before)
    if not ok then
      return go_back(job, before, problem)
    end
    return { version = now.version, slot = now.slot, version_before = before.version }
  end,
  cleanup = function(job, _, why)
    local before = job.results["look"]
    trial_is_over()
    if before and not job.results["mark bad"] and not job.state.good then
      take_back(job, before, why)
    end
  end,
  doctor = function()
    local tool, problem = tools.choose()
    if not tool then
      return nil, problem
    end
    for _, ask in ipairs({ tools.may_run, tools.version, tools.slot }) do
      local ok
      ok, problem = ask(tool)
      if not ok then
        return nil, problem
      end
    end
    return true
  end,
  examples = {
    { description = "with SWUpdate; the size, so that the room is looked at first",
      document = { operation = "install-image", tool = "swupdate", version = "2.4.1",
        url = "https://images.example.com/gateway-2.4.1.swu", size = 125829120,
        sha256 = ("0123456789abcdef"):rep(4) } },
    { description = "with RAUC, by a presigned URL; five minutes to reach the cloud",
      document = { operation = "install-image", tool = "rauc", version = "2.4.1",
        url = "https://bucket.s3.eu-central-1.amazonaws.com/gateway.raucb?X-Amz-Signature=…",
        sha256 = ("0123456789abcdef"):rep(4), online = 300 } },
  },
}
