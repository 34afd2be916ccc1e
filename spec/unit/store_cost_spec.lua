-- What the store costs: flash (counted between the process and the kernel by the shim), and the
-- history of a gateway that has done a thousand jobs.
local box = require("spec.support.store")
local shim = require("spec.support.shim")

local open, execution = box.open, box.execution

-- Runs `script`, with `s` an open store, in a process under the shim. In it, cost(what) prints what
-- was written and synced since the last time.
local PRELUDE = [[
package.cpath = %q
local log, read = %q, 0
local function cost(what)
    local syncs, bytes = 0, 0
    local file = io.open(log)
    if file then
        file:seek("set", read)
        for line in file:lines() do
            local kind, amount = line:match("^(%%l+) (%%d+)")
            syncs = syncs + (kind == "sync" and 1 or 0)
            bytes = bytes + (kind == "write" and tonumber(amount) or 0)
        end
        read = file:seek("cur")
        file:close()
    end
    print(what, syncs, bytes)
end
local s = assert(require("hob_units").store.open(%q))
s:prune(1000)
cost("open")
]]

local function costs(script)
    local name = box.dir .. "/script.lua"
    box.write_all(name, PRELUDE:format(package.cpath, box.dir .. "/shim", box.path) .. script)
    shim.on({ dir = box.dir })
    os.remove(box.dir .. "/shim")
    local lines = box.shell(
        ("HOB_SHIM_DATA='%s' HOB_SHIM_LOG=%s/shim ASAN_OPTIONS='%s' LD_PRELOAD='%s' %s %s"):format(
            box.dir, box.dir, shim.sanitizer_options(), shim.preload, box.interpreter(), name
        )
    )
    local found = {}
    for i, line in ipairs(lines) do
        local what, syncs, bytes = line:match("^(%S+)\t(%d+)\t(%d+)$")
        assert(what, line)
        found[i] = { what = what, syncs = tonumber(syncs), bytes = tonumber(bytes) }
    end
    return found
end

local JOB = [[
local source = ("-- a handler\n"):rep(300)
local function job(name, steps)
    local row = assert(s:add({ thing = "gateway-1", job_id = name, document = ("d"):rep(500) }))
    s:put_source(row, "", "scripts/install.lua", source, "digest")
    s:begin_run(row, "install", "digest", 2, false, "boot-1", 0, 0)
    for i = 1, steps do
        s:put_step(row, "step " .. i, false, '{"path":"image"}', '{"n":1}', 100)
    end
    s:put_version(row, 3)
    s:put_outcome(row, "SUCCEEDED", '{"version":"1.2.3","attempt":"1"}')
    s:mark_told(row, "accepted")
end
]]

describe("hob_store's cost", function()
    before_each(box.before_each)
    after_each(box.after_each)

    it("of a short job is two commits and less than 48 KB, of each step one more", function()
        local found = costs(JOB .. [[
            for i = 1, 4 do
                job("job-" .. i, 0)
                cost("none")
            end
            job("job-5", 2)
            cost("two")
        ]])
        for i = 3, 5 do
            assert.equal("none", found[i].what)
            assert.equal(2, found[i].syncs)
            assert.truthy(found[i].bytes > 0 and found[i].bytes < 48 * 1024, found[i].bytes)
        end
        assert.equal(4, found[6].syncs)
        assert.truthy(found[6].bytes < 64 * 1024, found[6].bytes)
    end)

    it("of what rides, of reading and of pruning is nothing", function()
        local found = costs(JOB .. [[
            job("job-1", 2)
            s:flush()
            cost("job")
            s:put_version(1, 4)
            s:begin_run(1, "install", "digest", 2, false, "boot-1", 0, 0)
            s:put_source(1, "x", "x.lua", "text", "another")
            s:mark_told(1, "accepted")
            s:prune(1)
            cost("rides")
            s:flush()
            cost("flush")
            s:get(1)
            s:find("gateway-1", "job-1", 1, 1700000000)
            s:each("gateway-1", "told")
            s:get_step(1, "step 1")
            s:flush()
            s:prune(1)
            s:flush()
            cost("reads")
        ]])
        assert.same({ what = "rides", syncs = 0, bytes = 0 }, found[3])
        assert.equal(1, found[4].syncs)
        assert.same({ what = "reads", syncs = 0, bytes = 0 }, found[5])
    end)

    it("of what rides is a commit for many, where nothing else is committed", function()
        local found = costs([[
            local rows = {}
            for i = 1, 300 do
                rows[i] = assert(s:add({ thing = "gateway-1", job_id = "job-" .. i,
                    document = "{}" }))
                s:put_outcome(rows[i], "SUCCEEDED", "{}")
            end
            cost("outbox")
            for _, row in ipairs(rows) do
                assert(s:mark_told(row, "accepted"))
            end
            cost("drained")
        ]])
        -- Two commits, and the log's upkeep.
        assert.truthy(found[3].syncs >= 2 and found[3].syncs < 20, found[3].syncs)
    end)

    it("of the reserve is paid once, not at each start", function()
        assert.truthy(costs("")[1].bytes > 256 * 1024)
        assert.truthy(costs("")[1].bytes < 64 * 1024)
    end)

    it("of a start is no sync after an orderly end, one of the directory after another", function()
        assert.is_true(costs("")[1].syncs > 0)
        assert.equal(0, costs("")[1].syncs)
        -- As one leaves it that was killed before its first commit.
        box.write_all(box.path .. "-wal", "")
        assert.equal(1, costs("")[1].syncs)
        local of_commit = costs(JOB .. "job('job-1', 0) cost('job')")
        assert.equal(0, of_commit[1].syncs)
        assert.equal(4, of_commit[2].syncs) -- two commits; the log is new, and so is its directory
    end)

    it("does not grow with the history: a thousand that were told, in their order", function()
        open():close()
        box.sql("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
            .. " INSERT INTO execution(thing, job_id, execution_number, queued_at, version, state,"
            .. " handler, handler_digest, runs, status, details, told) SELECT 'gw-1', 'j' || i, 1,"
            .. " 1700000000, 2, 3, 'a', 'd', 1, 'FAILED', hex(zeroblob(250)), 'accepted' FROM n")
        local s = open()
        local running = s:add(execution({ job_id = "now", state = "running" }))
        local told = s:each("gw-1", "told")
        assert.equal(1000, #told)
        for i, e in ipairs(told) do
            assert.equal("j" .. i, e.job_id)
        end
        assert.equal(running, s:each("gw-1", "running")[1].row)
        assert.equal(7, #s:each("gw-1", "told", 7))
        s:close()
        local found = costs(JOB .. [[
            job("job-1", 0)
            cost("first")
            job("job-2", 0)
            cost("second")
        ]])
        assert.equal(2, found[3].syncs)
        assert.truthy(found[3].bytes < 48 * 1024, found[3].bytes)
    end)
end)
