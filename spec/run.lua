-- Runs busted inside the hob binary: `hob lua spec/run.lua [busted's arguments]`; `./dev test` does
-- it. Ends with the line "N passed, N failed" and exit status 1 if anything failed.

local root = (arg[0]:match("^(.*)/spec/[^/]*$") or ".")

package.path = ("%s/?.lua;%s/lib/?.lua;%s/lib/?/init.lua;"):format(root, root, root) .. package.path

-- hob_units lies beside the program that runs this.
local lfs = require("lfs")
local binary = lfs.symlinkattributes("/proc/self/exe", "target")
package.cpath = binary:match("^(.*)/[^/]*$") .. "/modules/?.so;" .. package.cpath

local process = require("hob.process")
local report = require("spec.support.report")

-- What a run has started ends with it, also when it is broken off.
for _, signal in ipairs({ "INT", "TERM" }) do
    process.on_signal(signal, function() process.exit(130) end)
end

-- A mistyped file would run all specs, and look as if its own had passed.
local named_a_place = false
for i, word in ipairs(arg) do
    local is_there = lfs.attributes(word, "mode") ~= nil
    local after_option = i > 1 and arg[i - 1]:find("^%-")
    if not is_there and (word:find("_spec%.lua$") or word:find("/") and not after_option)
        and not word:find("^%-") then
        io.stderr:write(("spec/run.lua: %s: no such file or folder\n"):format(word))
        os.exit(2)
    end
    named_a_place = named_a_place or is_there
end
if not named_a_place then
    for _, room in ipairs({ "unit", "handlers", "integration" }) do
        local folder = root .. "/spec/" .. room
        if lfs.attributes(folder, "mode") == "directory" then
            table.insert(arg, folder)
        end
    end
end

-- What the binary logs while specs refuse connections on purpose would bury their results.
local has_log, log = pcall(require, "hob.log")
if has_log and log.configure then
    log.configure({ level = os.getenv("HOB_SPEC_LOG") or "off" })
end

-- busted ends the process by itself when something failed: take that back, to print the last line.
local ended = {}
require("busted.compatibility").exit = function(code)
    ended.code = code
    error(ended, 0)
end

local ok, problem = pcall(require("busted.runner"), {
    standalone = false,
    output = "spec.support.report",
})
if not ok and problem ~= ended then
    io.stderr:write("spec/run.lua: ", tostring(problem), "\n")
    report.failed = report.failed + 1
end

local listing = false
for _, word in ipairs(arg) do
    listing = listing or word == "--list" or word == "-l"
end
if listing and ok then
    return
end
if report.passed + report.failed + report.skipped == 0 then
    io.stderr:write("spec/run.lua: no spec ran\n")
    report.failed = 1
end
report.close()
if report.failed > 0 or (ended.code or 0) ~= 0 then
    os.exit(1)
end
