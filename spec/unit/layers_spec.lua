-- The layer rule and the owners of foreign libraries, read from every #include.

local ROOMS = { "base", "net", "jobs", "device", "work", "host" }

-- A header that matches may be named only by these files.
local OWNERS = {
    { header = "^mosquitto%.h$", files = { "core/net/mqtt_mosquitto.c",
                "core/net/mqtt_mosquitto_client.c" } },
    { header = "^mbedtls/",
      files = { "core/base/mbed.c", "core/net/certificate.c", "core/net/tls.c",
                "core/net/tls_config.c", "core/net/tls_config.h", "core/net/tls_files.h",
                "core/net/tls_signer.c", "core/net/tls_watch.c",
                "core/net/tls_words.c", "core/device/verify.c",
                -- hob.keys: keys made, certificate requests
                "core/device/keys.c",
                -- reading PEM, for all of these
                "core/base/mbed_pk.c", "core/net/pem.c" } },
    { header = "^sqlite3%.h$", files = { "core/work/store.c", "core/work/store_file.c",
                "core/work/store_schema.c", "core/work/store_statement.c",
                "core/work/store_statement.h", "core/work/store_check.c" } },
    { header = "^curl/", files = { "core/device/download_curl.c" } },
    { header = "^histedit%.h$", files = { "core/base/edit_libedit.c" } },
    { header = "^microhttpd%.h$", files = { "core/net/httpd_microhttpd.c" } },
    { header = "cjson", files = { "core/base/json.c", "bindings/lua_json.c" } },
}

-- A function that only these files may name: its address is as good as a call.
local CALLERS = {
    { call = "lua_resume", files = { "core/work/task.c" } },
    { call = "lua_yieldk", files = { "core/work/task.c" } },
    { call = "lua_yield", files = { "core/work/task.c" } },
    { call = "luaopen_cjson", files = { "core/base/json.c", "bindings/lua_json.c" } },
}

local project = require("spec.support.source")

local root, read = project.root, project.read

local function source_files()
    local lfs = require("lfs")
    local found = {}
    local function walk(folder)
        for entry in lfs.dir(root .. "/" .. folder) do
            local path = folder .. "/" .. entry
            local mode = lfs.attributes(root .. "/" .. path, "mode")
            if mode == "directory" and not entry:match("^%.") then
                walk(path)
            elseif entry:match("%.[ch]$") then
                found[#found + 1] = path
            end
        end
    end
    walk("core")
    walk("bindings")
    table.sort(found)
    return found
end

local function without_comments(text)
    return (text:gsub("/%*.-%*/", ""):gsub("//[^\n]*", ""))
end

local function contains(list, value)
    for _, entry in ipairs(list) do
        if entry == value then
            return true
        end
    end
    return false
end

local function layer_of(room)
    for number, name in ipairs(ROOMS) do
        if name == room then
            return number
        end
    end
end

local function layer_breaks(path, header, quoted)
    local from = path:match("^core/([^/]+)/")
    if header:match("%.%./") or header:match("^%.?/") then
        return true -- headers are named from core/ on, or they could not be judged
    elseif not from then
        return false
    elseif header:match("^bindings") or header:match("^lua_") then
        return true
    end
    local room = header:match("^([^/]+)/")
    local to = layer_of(room)
    if not to then
        return quoted and room ~= nil -- a room that nobody knows
    end
    return to > assert(layer_of(from), "the list above lacks the room " .. from)
end

local function owner_breaks(path, header)
    for _, rule in ipairs(OWNERS) do
        if header:match(rule.header) and not contains(rule.files, path) then
            return true
        end
    end
    return false
end

local function breaks_of(path, text, judge)
    local breaks = {}
    for mark, header in without_comments(text):gmatch('#%s*include%s*([<"])([^>"]+)[>"]') do
        if judge(path, header, mark == '"') then
            breaks[#breaks + 1] = path .. " includes " .. header
        end
    end
    return breaks
end

local function all_breaks(judge)
    local breaks = {}
    for _, path in ipairs(source_files()) do
        for _, line in ipairs(breaks_of(path, read(path), judge)) do
            breaks[#breaks + 1] = line
        end
    end
    return breaks
end

describe("the rooms", function()
    it("hold C files in core/ and bindings/", function()
        assert.is_true(#source_files() > 40)
    end)

    it("include only their own room or one above", function()
        assert.same({}, all_breaks(layer_breaks))
    end)

    it("leave each foreign library to its owner", function()
        assert.same({}, all_breaks(owner_breaks))
    end)

    it("leave each guarded function to its owner", function()
        local breaks = {}
        for _, path in ipairs(source_files()) do
            local text = without_comments(read(path))
            for _, rule in ipairs(CALLERS) do
                if text:match("%f[%w_]" .. rule.call .. "%f[^%w_]")
                    and not contains(rule.files, path) then
                    breaks[#breaks + 1] = path .. " names " .. rule.call
                end
            end
        end
        assert.same({}, breaks)
    end)
end)

describe("the comments of core/ and bindings/", function()
    it("name specs that are there", function()
        local missing = {}
        for _, path in ipairs(source_files()) do
            for spec in read(path):gmatch("spec/[%w_/]+%.lua") do
                if not require("lfs").attributes(root .. "/" .. spec) then
                    missing[#missing + 1] = path .. " names " .. spec
                end
            end
        end
        assert.same({}, missing)
    end)
end)

describe("the reader of includes", function()
    local function count(path, text, judge)
        return #breaks_of(path, text, judge)
    end

    it("sees a room that reaches down", function()
        assert.equals(1, count("core/net/tls.c", '#include "jobs/client.h"\n', layer_breaks))
        assert.equals(1, count("core/base/x.h", '#  include "net/tls.h"\n', layer_breaks))
        assert.equals(0, count("core/jobs/x.c", '#include "net/mqtt.h"\n', layer_breaks))
        assert.equals(0, count("bindings/x.c", '#include "work/task.h"\n', layer_breaks))
    end)

    it("sees core/ including bindings/", function()
        assert.equals(1, count("core/work/job.c", '#include "bindings.h"\n', layer_breaks))
        assert.equals(1, count("core/work/job.c", '#include "bindings/bindings.h"\n', layer_breaks))
    end)

    it("sees a way around the names of rooms", function()
        assert.equals(1, count("core/work/x.c", '#include "../host/config.h"\n', layer_breaks))
        assert.equals(1, count("core/work/x.c", '#include "./x.h"\n', layer_breaks))
        assert.equals(1, count("bindings/x.c", '#include "../core/base/buf.h"\n', layer_breaks))
        assert.equals(1, count("core/work/x.c", '#include "cellar/x.h"\n', layer_breaks))
        assert.equals(0, count("core/work/x.c", "#include <sys/stat.h>\n", layer_breaks))
    end)

    it("sees a foreign library outside its owner", function()
        assert.equals(1, count("core/net/mqtt_pump.c", "#include <mosquitto.h>\n", owner_breaks))
        assert.equals(1, count("core/net/mqtt_mosquitto_link.c", "#include <mosquitto.h>\n",
            owner_breaks))
        assert.equals(0, count("core/net/mqtt_mosquitto_client.c", "#include <mosquitto.h>\n",
            owner_breaks))
        assert.equals(1, count("bindings/lua_fs.c", "#include <curl/curl.h>\n", owner_breaks))
        assert.equals(1, count("core/host/main.c", "#include <mbedtls/ssl.h>\n", owner_breaks))
        assert.equals(0, count("core/work/store.c", "#include <sqlite3.h>\n", owner_breaks))
    end)

    it("reads no comments", function()
        assert.equals(0, count("core/net/tls.c", '/* #include "jobs/client.h" */\n', layer_breaks))
    end)
end)
