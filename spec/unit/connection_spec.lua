-- A connection that is the product's (struct hob_connection): what it is asked for, and that it
-- may tell anything at any moment, also nonsense, without a crash and with no completion lost.

local units = require("hob_units")
local wait_until = require("spec.support.wait").wait_until

describe("a product's own connection", function()
  local c

  before_each(function()
    c = units.connection.new(true)
    assert(c:thing("a"))
  end)

  after_each(function() c:close() end)

  local function words()
    c:turn()
    local list = c:words()
    local kept = {}
    for _, line in ipairs(list) do
      if not line:find("^log ") then
        kept[#kept + 1] = line:gsub(" suspect", "")
      end
    end
    return kept
  end

  -- Up, with one publish on its way whose token is returned.
  local function up()
    c:tell_up()
    assert.same({ "a up" }, words())
  end

  local function ask(number)
    assert(c:publish("a", number, "t", "x"))
    local line = words()[1]
    return tonumber(line:match("^publish (%d+) 1 t x$"))
  end

  describe("when it is up", function()
    it("brings its things up, and takes them down with the product's words", function()
      up()
      c:tell_down("the modem sleeps")
      assert.same({ "a down the modem sleeps" }, words())
      c:tell_up(true)
      assert.same({ "a up again" }, words())
    end)

    it("is asked to publish, and tells who asked when the product is done", function()
      up()
      local token = ask(7)
      assert.same({}, words())
      c:tell_done(token)
      assert.same({ "a done 7 OK" }, words())
    end)

    it("hands on the product's code when it could not be done", function()
      up()
      local token = ask(7)
      c:tell_done(token, -27)
      assert.same({ "a done 7 EREFUSED" }, words())
      c:product{ refuse = -16 } -- EBUSY is tried again
      assert(c:publish("a", 8, "t", "x"))
      assert.same({ "publish 2 1 t x" }, words())
      c:product{ refuse = -13 }
      wait_until(function() -- the next try comes by itself
        for _, line in ipairs(words()) do
          if line == "a done 8 EPROTO" then
            return true
          end
        end
      end, 10, "the try after EBUSY")
    end)

    it("is asked to subscribe, eight filters at most, and tells what was granted", function()
      up()
      assert(c:subscribe("a", 1, { "x/1", "x/2", "x/3" }, 1))
      assert.same({ "subscribe 1 1 x/1 x/2 x/3" }, words())
      c:tell_subscribed(1, 0, 1, 128, 0)
      assert.same({ "a subscribed 1 OK 1 128 0" }, words())
    end)

    it("hands on messages to whom they are for", function()
      up()
      c:tell_message("$aws/things/a/jobs/notify", "{}")
      assert.same({ "a message $aws/things/a/jobs/notify {}" }, words())
      c:tell_message("$aws/things/b/jobs/notify", "{}")
      c:tell_message("x/1", "not subscribed to")
      assert.same({}, words())
    end)
  end)

  describe("when it goes down", function()
    it("ends all requests, once, and forgets their tokens", function()
      up()
      local token = ask(7)
      c:tell_down("gone")
      assert.same({ "a done 7 ENOTCONN", "a down gone" }, words())
      c:tell_done(token)
      assert.same({}, words())
    end)

    it("takes no requests", function()
      local ok, code = c:publish("a", 1, "t", "x")
      assert.is_nil(ok)
      assert.equal("ENOTCONN", code)
      up()
      c:tell_down("gone")
      ok, code = c:publish("a", 2, "t", "x") -- told, not yet heard of
      assert.is_nil(ok)
      assert.equal("ENOTCONN", code)
    end)

    it("hears no messages of before", function()
      up()
      c:tell_down("gone")
      c:tell_message("$aws/things/a/jobs/notify", "late")
      assert.same({ "a down gone" }, words())
    end)
  end)

  describe("a product that does not keep to it", function()
    it("may answer twice, and to what nobody asked", function()
      up()
      local token = ask(7)
      c:tell_done(token)
      c:tell_done(token)
      c:tell_done(token, -1)
      c:tell_done(0)
      c:tell_done(99999)
      c:tell_subscribed(99999, 0, 1)
      assert.same({ "a done 7 OK" }, words())
    end)

    it("may give the wrong kind of answer: nothing counts as granted", function()
      up()
      assert(c:subscribe("a", 1, { "x/1" }))
      words()
      c:tell_done(1)
      assert.same({ "a subscribed 1 EPROTO" }, words())
      assert(c:subscribe("a", 2, { "x/1", "x/2" }))
      words()
      c:tell_subscribed(2, 0, 1)
      assert.same({ "a subscribed 2 OK 1 128" }, words())
      assert(c:subscribe("a", 3, { "x/1" }))
      words()
      c:tell_subscribed(3, 0)
      assert.same({ "a subscribed 3 EPROTO" }, words())
      assert(c:publish("a", 4, "t", "x"))
      words()
      c:tell_subscribed(4, 0, 1)
      assert.same({ "a done 4 OK" }, words())
    end)

    it("may use numbers that are no codes", function()
      up()
      local token = ask(7)
      c:tell_done(token, 5)
      assert.same({ "a done 7 EIO" }, words())
      c:tell_down("", 3)
      assert.same({ "a down input/output error" }, words())
    end)

    it("may say up twice: then the link is another one, and all is asked anew", function()
      up()
      ask(7)
      c:tell_up()
      assert.same({ "a done 7 ENOTCONN", "a down it was made anew", "a up" }, words())
      c:tell_down("gone")
      c:tell_down("gone")
      assert.same({ "a down gone" }, words())
    end)

    it("may say up and down within one turn", function()
      c:tell_up()
      c:tell_down("at once")
      c:tell_up()
      local list = words()
      assert.equal("a up", list[#list])
      assert.equal(1, #list)
    end)

    it("may tell everything inside what it is asked", function()
      up()
      c:product{ reenter = true }
      assert(c:publish("a", 7, "t", "x"))
      assert.same({ "publish 1 1 t x", "a done 7 OK" }, words())
      assert(c:subscribe("a", 8, { "inside" }))
      local list = words()
      assert.equal("subscribe 2 1 inside", list[1])
      assert.is_true(list[2] == "a subscribed 8 EPROTO") -- its done was the first answer
      assert.equal("a message inside x", list[3])
    end)

    it("may send topics that are none, and more than is taken", function()
      up()
      c:tell_message("", "x")
      c:tell_message("a/+/b", "x")
      c:tell_message("$aws/things/a/big", ("x"):rep(300 * 1024))
      assert.same({}, words())
      for _ = 1, 100 do
        c:tell_message("$aws/things/a/x", ("x"):rep(200 * 1024)) -- 20 MB, before any is heard
      end
      local heard = #words()
      assert.is_true(heard > 10 and heard < 50, heard)
    end)

    it("may say ENOTCONN and stay up: whoever asked does not wait for the next link", function()
      up()
      local token = ask(7)
      c:tell_done(token, -8)
      assert.same({ "a done 7 EIO" }, words())
      assert(c:subscribe("a", 8, { "x/1" }))
      words()
      c:tell_subscribed(2, -8)
      assert.same({ "a subscribed 8 EIO" }, words())
      c:product{ refuse = -8 }
      assert(c:publish("a", 9, "t", "x"))
      assert.same({ "publish 3 1 t x", "a done 9 EIO" }, words())
      c:product{}
      token = ask(10)
      c:tell_done(token, -8)
      c:tell_down("gone")
      assert.same({ "a done 10 ENOTCONN", "a down gone" }, words())
    end)

    it("may send more empty messages than there is room for", function()
      up()
      for _ = 1, 120000 do
        c:tell_message("$aws/things/a/x", "")
      end
      local heard = #words()
      assert.is_true(heard > 1000 and heard < 110000, heard)
    end)

    it("may answer to the runtime that had it before", function()
      up()
      local token = ask(7)
      c:remove("a")
      words()
      c:next_runtime()
      assert(c:thing("a"))
      assert.same({ "a up" }, words())
      assert(c:publish("a", 8, "t", "x"))
      words()
      c:tell_done(token)
      assert.same({}, words())
      c:tell_done(token + 1)
      assert.same({ "a done 8 OK" }, words())
    end)

    it("may free it too early: it is down, and nothing else", function()
      up()
      ask(7)
      c:free_connection()
      local list = words()
      assert.is_nil(c:publish("a", 8, "t", "x"))
      assert.is_true(#list == 0 or list[1] == "a done 7 ENOTCONN")
    end)

    it("that never answers holds no more than a link may, and is told of the doubt", function()
      up()
      local taken = 0
      repeat
        local ok, code = c:publish("a", taken, "t", "x")
        taken = taken + (ok and 1 or 0)
      until not ok and assert.equal("EBUSY", code)
      c:turn()
      assert.equal(512, taken) -- one thing's part
      assert.equal(100, c:pending()) -- on their way
      c:words()
      c:reconnect("a", "no answer came")
      local list = words()
      assert.equal("doubt no answer came", list[1])
      assert.equal(1, #list)
    end)
  end)

  describe("a doubt", function()
    it("that the product does nothing about begins with everything afresh", function()
      c:close()
      c = units.connection.new(false) -- it does not want to hear of doubts
      assert(c:thing("a"))
      up()
      ask(7)
      c:reconnect("a", "no answer came")
      assert.same({ "a done 7 ENOTCONN", "a down no answer came", "a up" }, words())
    end)

    it("leaves the product time to look after its link", function()
      up()
      local token = ask(7)
      c:reconnect("a", "no answer came")
      assert.same({ "doubt no answer came" }, words())
      c:tell_down("made anew")
      c:tell_up()
      local list = words()
      assert.equal("a down made anew", list[2])
      c:tell_done(token)
      for _, line in ipairs(words()) do
        assert.is_nil(line:find("done"))
      end
    end)
  end)
end)
