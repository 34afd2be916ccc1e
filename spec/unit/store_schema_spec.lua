-- The versions of the store's tables: ours, the one before, the one after.
local store = require("hob_units").store
local box = require("spec.support.store")

local open, execution = box.open, box.execution

-- What Hob 0.1 made, with one execution that runs, one that is ended and one that was told.
local VERSION_1 = [[
CREATE TABLE execution(
 row INTEGER PRIMARY KEY, thing TEXT NOT NULL, job_id TEXT NOT NULL,
 execution_number INTEGER NOT NULL, queued_at INTEGER NOT NULL, version INTEGER NOT NULL,
 state INTEGER NOT NULL, handler TEXT NOT NULL, handler_digest TEXT NOT NULL,
 runs INTEGER NOT NULL, status TEXT NOT NULL, details TEXT NOT NULL, told TEXT NOT NULL,
 UNIQUE(thing, job_id, execution_number, queued_at));
CREATE TABLE document(execution INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE job_state(execution INTEGER PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE step(execution INTEGER NOT NULL, name TEXT NOT NULL, failed INTEGER NOT NULL,
 result TEXT NOT NULL, PRIMARY KEY(execution, name)) WITHOUT ROWID;
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES('schema_version', 1), ('compatible_since', 1);
INSERT INTO execution VALUES(1, 'gw-1', 'runs', 1, 100, 2, 1, 'a', 'd', 1, '', '', '');
INSERT INTO execution VALUES(2, 'gw-1', 'ended', 1, 100, 2, 2, 'a', 'd', 1, 'FAILED', '{}', '');
INSERT INTO execution VALUES(3, 'gw-1', 'told', 1, 100, 2, 3, 'a', 'd', 1, 'SUCCEEDED', '{}',
 'accepted');
INSERT INTO document VALUES(1, '{"x":1}');
INSERT INTO step VALUES(1, 'download', 0, '"image"'), (1, 'check', 1, '{}');
INSERT INTO job_state VALUES(1, '{"n":1}');
PRAGMA application_id=1215259219; PRAGMA user_version=1; PRAGMA journal_mode=WAL;
]]

local function made_by_version_1()
    box.write_all(box.dir .. "/v1.sql", VERSION_1)
    box.shell(("sqlite3 '%s' <'%s/v1.sql'"):format(box.path, box.dir))
end

-- The next release: more columns, more tables, more triggers; it has worked with the file.
local function go_on_with_version_3(since)
    box.sql("ALTER TABLE execution ADD COLUMN mood TEXT NOT NULL DEFAULT 'fine'")
    box.sql("ALTER TABLE step ADD COLUMN weight INTEGER NOT NULL DEFAULT 1")
    box.sql("CREATE TABLE extra(x)")
    box.sql("CREATE TRIGGER counted AFTER INSERT ON step BEGIN INSERT INTO extra VALUES(1); END")
    box.sql(("UPDATE meta SET value = CASE key WHEN 'schema_version' THEN 3 ELSE %d END"):format(
        since))
    box.sql("PRAGMA user_version=3")
end

describe("hob_store's schema", function()
    before_each(box.before_each)
    after_each(box.after_each)

    it("carries a version and since which version it is compatible", function()
        local s = open()
        assert.is_false(s:is_newer())
        s:close()
        assert.same({ "2" }, box.sql("PRAGMA user_version"))
        assert.same(
            { "compatible_since|1", "schema_version|2" },
            box.sql("SELECT key, value FROM meta ORDER BY key")
        )
    end)

    describe("of version 1", function()
        it("is brought up to ours with all that is in it", function()
            made_by_version_1()
            local s = open(box.log)
            assert.is_false(s:is_newer())
            local e = s:get(1)
            assert.same(
                { "runs", "running", '{"x":1}', "", 0, 0, "", 0 },
                { e.job_id, e.state, e.document, e.boot, e.deaths, e.retries, e.ending_status,
                  e.ended_at_s }
            )
            assert.equal('"image"', (s:get_step(1, "download")))
            assert.equal('{"n":1}', s:get_state(1))
            assert.same({ "FAILED", "accepted" }, { s:get(2).status, s:get(3).told })
            s:close()
            assert.same({ "2" }, box.sql("PRAGMA user_version"))
            assert.same({ "2" }, box.sql("SELECT value FROM meta WHERE key = 'schema_version'"))
        end)

        it("takes everything that is new", function()
            made_by_version_1()
            local s = open()
            s:put_source(1, "", "a.lua", "text", "d1")
            s:begin_run(1, "a", "d", 3, true, "boot-1", 1, 1)
            s:begin_step(1, "flash")
            s:put_step(1, "last", false, "1")
            local names = {}
            for i, step in ipairs(s:each_step(1)) do
                names[i] = step.name
            end
            assert.same({ "check", "download", "last" }, names)
            assert.is_true(s:put_ending(1, "FAILED", "failed", "{}"))
            assert.is_true(s:put_outcome(1, "FAILED", "{}"))
            assert.is_true(s:mark_told(1, "accepted"))
        end)

        it("has steps of which the failed one alone is forgotten by a retry", function()
            made_by_version_1()
            local s = open()
            s:put_step(1, "last", false, "1")
            s:put_wait(1, 1, 1, 1)
            local steps = s:each_step(1)
            assert.same({ "download", 1 }, { steps[1].name, #steps })
        end)

        it("is left as it was where there is no room for the new tables", function()
            made_by_version_1()
            store
                .child(function()
                    store.limit_files(4096)
                    local s, message, code = store.open(box.path)
                    assert(not s, "it was opened")
                    assert(code == "ENOSPC", message)
                    assert(message:find("make room on its file system", 1, true), message)
                end)
                :kill()
            assert.same({ "1" }, box.sql("PRAGMA user_version"))
            assert.equal("runs", open():get(1).job_id)
        end)

        it("still finds what it knows after a fall-back, and leaves nothing of ours", function()
            local s = open()
            local row = s:add(execution({ job_id = "runs" }))
            s:put_source(row, "", "a.lua", "text", "d1")
            s:begin_step(row, "flash")
            s:put_reboot(row, "r", "boot", 1)
            s:put_step(row, "download", false, "1")
            s:close()
            -- what version 1 does: ends it, tells it, takes one out, adds another in its row
            box.sql("UPDATE execution SET state = 2, status = 'FAILED' WHERE row = 1 AND state < 2")
            box.sql("UPDATE execution SET state = 3, told = 'accepted' WHERE row = 1")
            box.sql("INSERT INTO execution(thing, job_id, execution_number, queued_at, version,"
                .. " state, handler, handler_digest, runs, status, details, told)"
                .. " VALUES('gw-1', 'new', 1, 1, 1, 1, 'a', 'd', 1, '', '', '')")
            box.sql("INSERT INTO step(execution, name, failed, result) VALUES(2, 's', 0, '1')")
            for _, name in ipairs({ "step_begun", "reboot", "source_use" }) do
                assert.same({ "0" }, box.sql("SELECT count(*) FROM " .. name), name)
            end
            s = open()
            assert.equal("new", s:get(2).job_id)
            assert.equal("1", (s:get_step(2, "s")))
        end)
    end)

    describe("of version 3", function()
        it("is opened where it says that it may be, and the log says so once", function()
            local s = open()
            s:add(execution())
            s:close()
            go_on_with_version_3(2)
            s = open(box.log)
            assert.is_true(s:is_newer())
            s:close()
            local lines = box.logged("store.newer")
            assert.equal(1, #lines)
            assert.matches(box.path .. ": was written by a newer hob", lines[1], 1, true)
            assert.matches('"level":"warn"', lines[1], 1, true)
        end)

        it("has what ran ended, and what waits told, by us (field failure 22)", function()
            local s = open()
            local runs = s:add(execution({ state = "running", boot = "boot-1" }))
            s:put_step(runs, "download", false, '"image"', '{"n":1}')
            local waits = s:add(execution({ job_id = "job-2" }))
            s:put_outcome(waits, "SUCCEEDED", '{"a":"1"}')
            s:close()
            go_on_with_version_3(2)
            s = open()
            assert.equal("job-1", s:each("gw-1", "running")[1].job_id)
            assert.equal('{"a":"1"}', s:each("gw-1", "ended")[1].details)
            assert.equal('"image"', s:each_step(runs)[1].result)
            assert.is_true(s:put_ending(runs, "FAILED", "failed", "{}"))
            assert.is_true(s:begin_cleanup(runs))
            assert.is_true(s:put_step(runs, "cleanup", false, "1"))
            assert.is_true(s:put_outcome(runs, "FAILED", '{"code":"DOWNGRADE"}'))
            assert.is_true(s:mark_told(runs, "accepted"))
            assert.is_true(s:mark_told(waits, "accepted"))
            assert.truthy(s:add(execution({ job_id = "job-3" })))
            assert.is_true(s:prune(1))
            s:close()
            assert.same({ "3" }, box.sql("PRAGMA user_version"))
            assert.same({ "3" }, box.sql("SELECT value FROM meta WHERE key = 'schema_version'"))
            assert.same({ "fine" }, box.sql("SELECT mood FROM execution WHERE job_id = 'job-3'"))
        end)

        it("is refused, and kept, if it is not compatible", function()
            open():close()
            go_on_with_version_3(3)
            local s, message, code = store.open(box.path)
            assert.is_nil(s)
            assert.equal("ESTORE", code)
            assert.equal(
                box.path
                    .. ": was written by a newer hob (schema 3, usable from schema 3 on; this is 2)"
                    .. ": install that hob again, or move the file away",
                message
            )
            assert.same({ "hob.db", "reserve" }, box.shell("ls '" .. box.dir .. "'"))
        end)
    end)
end)
