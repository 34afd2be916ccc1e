-- `./dev demo`: real jobs over mutual TLS on this machine, from the service to a handler and back.
-- Exit status 0 only if each job ended as it should; see spec/demo/jobs.lua.

local root = arg[0]:match("^(.*)/spec/demo/[^/]*$") or "."
package.path = ("%s/?.lua;%s/lib/?.lua;"):format(root, root) .. package.path

local exec = require("hob.exec")
local fs = require("hob.fs")
local jobs_of = require("spec.demo.jobs").list
local json = require("hob.json")
local process = require("hob.process")
local screens = require("spec.demo.screen")
local time = require("hob.time")
local worlds = require("spec.demo.world")

local LIMIT = 120 -- seconds for all jobs together
local USAGE = "usage: ./dev demo [--spoil digest|handler|cert]\n"
local SPOILS = { digest = true, handler = true, cert = true }

local interrupted -- the exit status that a signal asks for

local function parse(words)
    local options = {}
    local i = 1
    while words[i] do
        if words[i] == "--spoil" and SPOILS[words[i + 1]] then
            options.spoil = words[i + 1]
            i = i + 2
        elseif words[i] == "--help" then
            io.stdout:write(USAGE)
            process.exit(0)
        else
            io.stderr:write("demo: '", words[i], "' is not understood\n", USAGE)
            process.exit(2)
        end
    end
    return options
end

-- A second signal ends at once; the first lets the step at hand end and cleans up.
local function watch_signals()
    for name, status in pairs({ INT = 130, TERM = 143, HUP = 129 }) do
        process.on_signal(name, function()
            if interrupted then
                process.exit(interrupted)
            end
            interrupted = status
        end)
    end
end

local function check_signals()
    if interrupted then
        error("interrupted", 0)
    end
end

local function sha256(path)
    return exec.check({ "sha256sum", path }).stdout:match("^%x+")
end

local function noise(bytes)
    local words = {}
    for i = 1, bytes // 8 do
        words[i] = string.pack("<i8", math.random(0))
    end
    return table.concat(words)
end

-- What is served, what jobs find, and where they leave what they do.
local function make_place(world)
    local place = { root = world.dir .. "/device", data = noise(1024 * 1024) }
    assert(fs.mkdir(place.root))
    assert(fs.write(place.root .. "/plain.txt", "hello from the cloud\n"))
    assert(fs.write(world.dir .. "/firmware.bin", place.data))
    place.sha256 = sha256(world.dir .. "/firmware.bin")
    if world.spoil == "digest" then
        place.sha256 = ("0"):rep(64)
    end
    place.url = world:start_file_server(place.data)
    return place
end

local function create(world, job)
    local path = ("%s/%s.json"):format(world.dir, job.id)
    assert(fs.write(path, assert(json.encode(job.document))))
    local result = assert(exec.run({
        timeout = 30, env = { HOB_SERVICE = world.url },
        world.binary, "job", "create", "--thing", worlds.THING, "--job-id", job.id,
        "--document", path,
    }))
    if result.code ~= 0 then
        error(("job %s could not be created: %s"):format(job.id, result.stderr), 0)
    end
end

-- DescribeJobExecution of the service's control side.
local function describe(world, job)
    local path = { "things", worlds.THING, "jobs", job.id }
    local execution = assert(world.client:call("GET", path)).execution
    execution.details = execution.statusDetails and execution.statusDetails.detailsMap or {}
    return execution
end

-- How many final updates the service has taken, by its own journal.
local function count_final_updates(world, job)
    local query = { thing = worlds.THING, job = job.id }
    local count = 0
    local answer = assert(world.client:call("GET", { "hob", "updates" }, query))
    for _, update in ipairs(answer.updates) do
        if update.answer == "accepted" and screens.is_terminal_status(update.code) then
            count = count + 1
        end
    end
    return count
end

local function watch(world, screen, jobs)
    local seen, open = {}, #jobs
    local deadline = time.mono() + LIMIT
    while open > 0 and time.mono() < deadline do
        check_signals()
        open = 0
        for _, job in ipairs(jobs) do
            if not (seen[job.id] and screens.is_terminal_status(seen[job.id].status)) then
                seen[job.id] = describe(world, job)
                open = open + (screens.is_terminal_status(seen[job.id].status) and 0 or 1)
            end
        end
        screen:draw(jobs, seen)
        time.sleep(0.1)
    end
end

local function verdict(job, execution, final_updates)
    if execution.status ~= job.status then
        return ("should be %s"):format(job.status)
    end
    if final_updates ~= 1 then
        return ("told %d times"):format(final_updates)
    end
    local reason = execution.details.reason or ""
    if job.reason and not reason:find(job.reason, 1, true) then
        return ("its reason should say '%s'"):format(job.reason)
    end
    if job.proof then
        local ok, message = job.proof()
        return not ok and message or nil
    end
end

local function outcome_text(execution)
    local details = execution.details
    if details.reason then
        return details.reason
    end
    local words = {}
    for _, name in ipairs({ "version", "bytes", "image" }) do
        if details[name] then
            table.insert(words, name .. "=" .. details[name])
        end
    end
    return table.concat(words, " ")
end

-- The table is read back from the service, job by job, after everything has ended.
local function report(world, screen, jobs)
    local rows, wrong = {}, 0
    for _, job in ipairs(jobs) do
        local execution = describe(world, job)
        local problem = verdict(job, execution, count_final_updates(world, job))
        wrong = wrong + (problem and 1 or 0)
        table.insert(rows, { job.id, job.title, execution.status,
            problem and "NO: " .. problem or "yes", outcome_text(execution) })
    end
    screen:say("")
    screen:table({ "JOB", "WHAT", "STATUS", "AS IT SHOULD", "OUTCOME" }, rows)
    screen:say("")
    return wrong
end

local function steps(world, screen)
    local function step(words, run)
        check_signals()
        screen:say("- %s", words)
        return run()
    end
    step("a throw-away CA and certificates", function() world:make_certificates() end)
    step("a broker on loopback, mutual TLS", function() world:start_broker() end)
    step("the local Jobs service", function() world:start_service() end)
    local place = step("a server of files", function() return make_place(world) end)
    local jobs = jobs_of(place)
    step("the gateway: hob run", function()
        world:make_scripts()
        world:start_gateway()
    end)
    step(("%d jobs"):format(#jobs), function()
        for _, job in ipairs(jobs) do
            create(world, job)
        end
    end)
    watch(world, screen, jobs)
    return report(world, screen, jobs), #jobs
end

local function main()
    local options = parse(arg)
    watch_signals()
    local screen = screens.new()
    local world = worlds.new({ root = root, spoil = options.spoil })
    local ok, wrong, count = pcall(steps, world, screen)
    local clean = world:close()
    if interrupted then
        io.stderr:write("demo: interrupted; everything is cleaned up\n")
        return interrupted
    end
    if not ok then
        io.stderr:write("demo: ", tostring(wrong), "\n")
        return 1
    end
    if wrong > 0 then
        screen:say("%d of %d jobs did not end as they should.", wrong, count)
    else
        screen:say("All %d jobs ended as they should.", count)
    end
    return wrong == 0 and clean and 0 or 1
end

process.exit(main())
