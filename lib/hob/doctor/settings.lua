--- `hob doctor`: the configuration, who may read and change what it names, and the programs that it
--- names.
local core = require("hob.doctor.core")
local fs = require("hob.fs")
local places = require("hob.handler.place")

local M = {}

local OTHERS_WRITE, OTHERS_READ, GROUP_WRITE, GROUP_READ = 2, 4, 16, 32
local FILES_MAX = 2000
local SHOWN = 5 -- of what is alike

---------------------------------------------------------------- the configuration

local function changed_since(running, path)
  local stat = path and fs.stat(path)
  return stat and running and running.startedAt and stat.mtime > running.startedAt + 1
end

---@param report hob.doctor.report
---@param about hob.doctor.about
function M.configuration(report, about)
  report:check("configuration", about.config_path, function(say)
    if not about.config then
      local nothing = not about.running and not (about.data and fs.exists(about.data))
      return say[nothing and "failed" or "warning"](say, (nothing
        and "there is no configuration, no gateway that runs and no data directory " .. (about.data
        or "") or "not known") .. ": certificates, connection and handlers are not looked at",
        "give --config FILE, the one that hob run is started with")
    end
    for _, problem in ipairs(about.problems) do
      say:failed(problem)
    end
    if not about.readable then
      return say:info("the rest of it is not known: what it names was not looked at")
    elseif changed_since(about.running, about.config_path) then
      say:warning("it was changed after the gateway started, which goes on as it was",
        "restart hob to use it")
    elseif not about.problems[1] then
      say:ok("valid; " .. (#about.values.things == 1 and "1 thing"
        or #about.values.things .. " things"))
    end
  end)
  if about.config and about.readable then
    report:check("user", nil, function(say)
      local ok, why = about.config:check_user()
      if not ok then
        say:failed(why, "useradd --system --home-dir " .. (about.data or "/var/lib/hob") ..
          " " .. about.values.exec_user)
      elseif core.uid() ~= 0 then
        say:info("programs would run as whoever starts hob here; as root they run as "
          .. about.values.exec_user)
      else
        say:ok("programs of jobs run as " .. about.values.exec_user)
      end
    end)
  end
end

---------------------------------------------------------------- permissions

local function has(mode, bit)
  return mode & bit ~= 0
end

-- The user that programs of jobs run as, if that is not Hob itself.
local function exec_user(about)
  local name = about.values and about.values.exec_user
  local user = core.uid() == 0 and name and name ~= "" and core.user(name)
  return user and user.uid ~= 0 and user or nil
end

local function in_group(user, gid)
  for _, group in ipairs(user.groups) do
    if group == gid then
      return true
    end
  end
  return user.gid == gid
end

local function may_change(user, stat)
  return user and (stat.uid == user.uid and has(stat.mode, 128)
    or in_group(user, stat.gid) and has(stat.mode, GROUP_WRITE))
end

local function may_read(user, stat)
  return user and (stat.uid == user.uid or in_group(user, stat.gid)
    and has(stat.mode, GROUP_READ))
end

-- What anybody, or the programs of jobs, may write, though it decides what Hob does.
local function unsafe(path, user, stat)
  if has(stat.mode, OTHERS_WRITE) then
    return "failed", path .. " is writable by everybody: who writes there does as Hob",
      "chmod o-w " .. path
  elseif may_change(user, stat) then
    return "warning", ("%s may be changed by %s, as which programs of jobs run"):format(path,
      user.name), ("chown root %s; chmod g-w %s"):format(path, path)
  end
end

local function look_at(say, path, user, secret)
  local stat, why, code = fs.stat(path)
  if not stat then
    return say:failed(why, code == "EACCES" and "run hob doctor as root" or nil)
  end
  local state, text, action = unsafe(path, user, stat)
  if state then
    return say[state](say, text, action)
  elseif secret and has(stat.mode, OTHERS_READ) then
    return say:failed(("%s is readable by everybody, and holds %s"):format(path, secret),
      "chmod 600 " .. path)
  elseif secret and may_read(user, stat) then
    return say:warning(("%s is readable by %s, as which programs of jobs run, and holds %s")
      :format(path, user.name, secret), ("chown root %s; chmod 600 %s"):format(path, path))
  end
  say:ok(("%s (%04o)"):format(path, stat.mode))
end

-- A directory and the files in it, to the second level: scripts/ and scripts/lib/.
local function below(dir, depth, found)
  for _, name in ipairs(fs.list(dir) or {}) do
    local path = dir .. "/" .. name
    local stat = #found < FILES_MAX and fs.stat(path)
    if stat then
      found[#found + 1] = { path = path, stat = stat }
      if stat.type == "directory" and depth > 0 then
        below(path, depth - 1, found)
      end
    end
  end
  return found
end

local function look_at_scripts(say, dir, user, may_miss)
  local stat, why, code = fs.stat(dir)
  if not stat and may_miss and code == "ENOENT" then
    return say:ok(dir .. " is not there yet")
  elseif not stat then
    return say:failed(why, "set scripts to the directory of the handlers")
  end
  local all = below(dir, 1, { { path = dir, stat = stat } })
  local said = 0
  for _, file in ipairs(all) do
    local state, text, action = unsafe(file.path, user, file.stat)
    if state then
      said = said + 1
      if said <= SHOWN then
        say[state](say, text, action)
      end
    end
  end
  if said > SHOWN then
    say:failed(("%d more are like that in %s"):format(said - SHOWN, dir),
      ("chmod -R o-w %s"):format(dir))
  elseif said == 0 then
    say:ok(("%s (%04o) and %d files in it"):format(dir, stat.mode, #all - 1))
  end
end

---@param report hob.doctor.report
---@param about hob.doctor.about
function M.permissions(report, about)
  local user = exec_user(about)
  local values = about.values
  if about.config_path then
    report:check("permissions", "configuration", function(say)
      look_at(say, about.config_path, user, about.has_passphrase and "a passphrase" or nil)
    end)
  end
  for _, thing in ipairs(about.readable and values.things or {}) do
    if thing.key ~= "" and fs.exists(thing.key) then
      report:check("permissions", thing.thing_name, function(say)
        look_at(say, thing.key, user, "the private key")
      end)
    end
  end
  if about.scripts then
    local dirs = places.split(about.scripts)
    for i, dir in ipairs(dirs) do
      report:check("permissions", "scripts", function(say)
        look_at_scripts(say, dir, user, i < #dirs)
      end)
    end
  end
  if about.data and fs.exists(about.data) then
    report:check("permissions", "data", function(say)
      look_at(say, about.data, user)
      local blocked = user and about.config:blocked(about.data:match("^(.+)/[^/]*$") or "/")
      if blocked then
        say:warning(("%s does not let %s pass: programs of jobs cannot use the whole names of "
          .. "files in their job's directory"):format(blocked, user.name), "chmod o+x " .. blocked)
      end
    end)
  end
end

---------------------------------------------------------------- programs

local function find_program(name)
  if name:find("/", 1, true) then
    return fs.exists(name) and name or nil
  end
  for dir in (os.getenv("PATH") or ""):gmatch("[^:]+") do
    local path = dir .. "/" .. name
    local stat = core.may(path, "x") and fs.stat(path)
    if stat and stat.type == "file" then
      return path
    end
  end
end

local function look_at_program(say, key, name, user)
  local path = find_program(name)
  if not path then
    return say:warning(("%s: there is no program %s%s"):format(key, name,
      name:find("/", 1, true) and "" or " in PATH " .. (os.getenv("PATH") or "")),
      ("install it, or take it out of %s"):format(key))
  end
  local ok, why = core.program(path)
  if not ok then
    return say:failed(key .. ": " .. why)
  end
  local stat = fs.stat(path)
  if key == "privileged" and stat and may_change(user, stat) then
    return say:failed(("privileged: %s may be changed by %s, and runs as root"):format(path,
      user.name), ("chown root %s; chmod 755 %s"):format(path, path))
  end
  say:ok(("%s: %s is %s"):format(key, name, path))
end

---@param report hob.doctor.report
---@param about hob.doctor.about
function M.programs(report, about)
  local values, user = about.values, exec_user(about)
  local lists = { { "privileged", values.privileged }, { "commands", values.commands },
    { "reboot_command", { values.reboot_command[1] } } }
  for _, list in ipairs(lists) do
    for _, name in ipairs(list[2]) do
      if name ~= "*" then
        report:check("program", name, function(say) look_at_program(say, list[1], name, user) end)
      end
    end
  end
  if values.handler_dir ~= "" then
    report:check("program", "handler_dir", function(say) look_at(say, values.handler_dir, user) end)
  end
end

return M
