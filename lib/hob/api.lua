---@meta hob.api
-- luacheck: ignore 212 241 431 631

--- # The library for handlers
--- What a [handler](handlers.md) can call, module by module. Editors read the same text from
--- `lib/hob/api.lua`: [how to set one up](../how-to/write-handlers.md#editor). For people who write
--- against AWS's own view of jobs there is [`iotjobs`](iotjobs.md), which handlers can use, too.
---
--- - ⏳ marks a call that waits: other jobs and the connection go on meanwhile, and a cancel or a
---   time-out of the job ends it.
--- - Every function that can fail because of the world returns `nil, message, "CODE"`. Misuse (a
---   wrong type, an unknown option) raises, naming what was expected.
--- - Times are seconds, sizes bytes.
--- - Of the language there are `table`, `string`, `math`, `utf8`, `coroutine`; of `os` only `time`,
---   `clock`, `date`, `difftime` and `getenv`; `print` writes to the log. Not there: `io`, `debug`,
---   `package`, `dofile`, `loadfile`, `collectgarbage`, `string.dump`, compiled chunks, `__gc`.
---   `require` finds the modules below and files in `scripts/lib`. This contains mistakes, not
---   malice.

-- For editors, for docs/reference/lua-api.md, and for `hob handler lint`. The module `iotjobs` is
-- described in lib/meta/iotjobs.lua, and not here. One section:
--
--   --- Words about the module.
--   ---@class hob.exec                 small letters: what require("hob.exec") gives
--   local exec = {}
--
--   --- What it does.
--   ---@param command hob.exec.RunOptions
--   ---@return hob.exec.Result|nil result
--   ---@return string|nil message
--   ---@return string|nil code
--   function exec.run(command) end
--
--   --- Words about a table or an object, described before it is used.
--   ---@class hob.exec.RunOptions      a capital: a table of options, a result, an object
--   ---@field timeout? number  seconds until TERM; default: never
--
-- `./dev docs` makes docs/reference/lua-api.md from it; spec/unit/api_spec.lua compares it with the
-- modules as they are: each function, each option.

--------------------------------------------------------------------------- the handler's table

--- ## The handler's table
--- What a handler's file returns. In words, with examples: [handlers](handlers.md).

--- In an editor: `---@type hob.Handler` above `return {`, or `local M = {}` of that type.
---@class hob.Handler
---@field api integer required: 1
---@field run fun(job: hob.Job, args: table): (any, any, any) required: does the job
---@field description? string for people: `hob handler list`
---@field names? string[] up to 8 more names under which documents may ask for it, `"?member"` for those that have a member
---@field args? table|function what the document must hold, or `args(document, facts)` which returns what `run` gets
---@field args_at? string the document's member that holds the arguments; default: the document itself
---@field positional? string[] names for the words of an `args` list, `"words..."` for what is left
---@field timeout? number seconds that `run` may take, over all its runs; default: `job_timeout`
---@field memory? number|string what the job's Lua state may use; default: `memory` of the configuration
---@field cpu? number seconds of processor time for all its runs, 0: no limit; default: `cpu` of the configuration
---@field max_age? number seconds: a job that was queued longer ago is REJECTED
---@field max_runs? integer how often `job:retry_later` may put the job off, 1 to 1000; default 10
---@field requires? hob.Requires what must be so before a job is begun
---@field already_done? fun(job: hob.Job, args: table): boolean asked once, before `run`; true ends the job as SUCCEEDED
---@field cleanup? fun(job: hob.Job, args: table, why: hob.Why) called after every end that is not SUCCEEDED, once a step began
---@field rerun? boolean a job that is IN_PROGRESS in the cloud and unknown to the store is run again
---@field doctor? fun(): (boolean|nil, string|nil) says whether what the handler needs is on this device
---@field examples? table[] documents as a cloud team would send them

--- What must be so before a job is begun; else it [waits or is REJECTED](handlers.md#what-a-handler-requires).
---@class hob.Requires
---@field disk? string|integer room in the data directory: `"200M"`, or bytes
---@field clock? boolean the clock is set
---@field commands? string[] programs in PATH, or absolute paths
---@field window? string a time of day: `"02:00-04:00"`
---@field otherwise? "wait"|"reject" for all of them; default: wait, but reject for `commands`

--- Why a job ended, for `cleanup`; the kinds are [in the outcomes](outcomes.md).
---@class hob.Why
---@field kind string `"failed"`, `"timed_out"`, `"cancelled"`, `"limit"`, ...
---@field reason string in words
---@field code string for programs, `"TIMED_OUT"`
---@field step? string the step in which it ended

--------------------------------------------------------------------------- hob.Job

--- ## The job
--- The first argument of `run`, `already_done` and `cleanup`.

--- One execution of a job on this thing.
---@class hob.Job
---@field id string the job's id
---@field thing string the thing's name
---@field execution_number integer counts the executions of this job on this thing
---@field attempt integer 1; 2 and more when the job goes on after a restart of Hob or after `job:retry_later`
---@field document table the document, decoded; `null` is `hob.json.null`
---@field dir string a directory of this execution's own: programs start there, relative file names belong there; taken away at the end
---@field state table the handler's own, saved with each step and found again at the next run
---@field user? string in a step of one of AWS's documents: whom the document wants it run as (`runAsUser`), for the option `user` of `hob.exec`
---@field results table in `cleanup`: the result of each step that ended well, by its name
---@field log hob.JobLog lines in Hob's log
local Job = {}

--- `job.log.info("text")` and so on: a line in Hob's log, event `job.log`.
---@class hob.JobLog
---@field debug fun(text: any)
---@field info fun(text: any)
---@field warn fun(text: any)
---@field error fun(text: any)

--- Report how far the job is. Shown in the cloud as `progress`, `"42% text"`; the latest wins, at
--- most one a second.
---@param percent number 0 to 100
---@param text? string
function Job:progress(percent, text) end

--- ⏳ Wait.
---@param seconds number
function Job:sleep(seconds) end

--- ⏳ Do something once: a run after a crash or a reboot gets the saved result instead of doing it
--- again. What fails is saved too, and raised again. [Steps](handlers.md#steps) says all of it.
--- ```lua
--- local image = job:step("download", { tries = 5, backoff = 60 }, function()
---   return http.download{ url = args.url, sha256 = args.sha256, to = "image" }
--- end)
--- ```
---@param name string 1 to 128 bytes, used once in the handler; in a loop, with the index
---@param options? hob.StepOptions
---@param fn function its first result is kept, a JSON value of at most 256 KB; `nil` and a message: failed
---@return any result the decoded copy of what `fn` returned; raises a `hob.StepError`
function Job:step(name, options, fn) end

--- Options of `job:step`.
---@class hob.StepOptions
---@field once? boolean never run again after an interruption: it fails with code `INTERRUPTED`
---@field valid? fun(result: any): boolean asked when there is a saved result: if it says no, the step runs again
---@field timeout? number seconds for each try; then its programs are ended and the step has failed with `TIMED_OUT`
---@field tries? integer how often it is tried before it has failed, 1 to 1000; default 1
---@field backoff? number seconds before the second try, doubled before each further one; default 1
---@field interruptions? integer how many of them end the job; default 3

--- What `job:step` raises. It can be used like its message: `"so: " .. err`.
---@class hob.StepError
---@field message string what the step raised or returned
---@field code string `"EXIT_CODE"`, `"TIMED_OUT"`, `"INTERRUPTED"`, `"LUA_ERROR"`, ...
---@field step string its name
---@field exit_code? integer of the program that failed
---@field signal? integer that ended the program

--- ⏳ Reboot the machine; returns after the reboot. Three reboots that change nothing end the job.
---@param reason? string
function Job:reboot(reason) end

--- ⏳ Start Hob anew, for an update of Hob itself; returns in the new process.
---@param reason? string
function Job:restart_hob(reason) end

--- Call `fn(...)`; a cancel, a time-out or a stop of Hob that comes meanwhile waits until it has
--- ended.
---@param fn function
---@param ... any its arguments
---@return any ... what `fn` returned
function Job:critical(fn, ...) end

--- Stop here if a person looks into the job (`hob repl`, `hob dap`), until he lets it go on; under
--- `hob run --wait-debugger` wait for one. Else it does nothing: it may stay in a handler.
function Job:break_here() end

--- ⏳ The arguments once more, from the document as the service hands it out now: presigned URLs
--- that have not expired. For use in a step, after a download has failed with `EHTTP`.
---@return table|nil args
---@return string|nil message
---@return string|nil code
function Job:fresh_args() end

--- End as REJECTED: this document can never work here. Does not return, also through `pcall`.
---@param reason string
function Job:reject(reason) end

--- Give up for now: `run` is called again after that time, with the steps that ended well as they
--- are. Does not return, also through `pcall`.
---@param seconds number at most 31 days
---@param reason string
function Job:retry_later(seconds, reason) end

--------------------------------------------------------------------------- hob.exec

--- Runs programs. No shell is involved: each word is one argument. Each program gets a session and a
--- process group of its own. When it is ended (a time-out, the end of its job), the whole group gets
--- TERM, and after the grace KILL; `run` and `check` return from a time-out when the group is gone.
--- What a program leaves in the background when it ends by itself may go on as long as the job: but
--- if it still holds standard output or standard error open after a second, it is killed then. At
--- the end of the job it is ended as said; only when nothing of it is left does `cleanup` run, or the
--- next job begin. What is to outlive the job leaves the group: it calls `setsid`, or is started by
--- systemd (`systemctl start`, `systemd-run`).
---
--- Both outputs are read as they come, whatever they are: no flood, line without end, NUL byte or
--- invalid UTF-8 stops or fails a program or a job. All of it goes to the job's file in
--- [`output`](data-directory.md#output).
---
--- Where Hob runs as root, programs do not: [privileges](../how-to/privileges.md). What the
--- configuration does not allow gives `nil, message, "EPERM"`; the message names the key to set.
--- ```lua
--- local exec = require("hob.exec")
--- local result = assert(exec.run{ "fw-info", "--slot", "b", timeout = 30 })
--- if result.code ~= 0 then
---   return nil, "fw-info: " .. result.words
--- end
--- ```
---@class hob.exec
local exec = {}

--- Options of `run` and `check`.
---@class hob.exec.RunOptions
---@field [integer] string the program and its arguments
---@field stdin? string text for its standard input
---@field env? table<string, string> added to Hob's own environment
---@field cwd? string where it starts; default `job.dir`
---@field timeout? number seconds until TERM; default: never
---@field grace? number seconds from TERM until KILL, default 5; when the job ends, 30 at most
---@field tail? integer bytes of each stream that are kept, the last 64 KB; at most 16 MB
---@field user? string|integer whom it runs as, by name or number: one of [`users`](config.md) in the configuration, or root for a program that `privileged` names; default: `exec_user`
---@field group? string|integer one of that user's own groups; default: the first of them
---@field stdout? string a file for its standard output, made anew with mode 0600 for its user and synced at the end; nothing of it is kept in the result or in the job's output
---@field stderr? string likewise; the same file for both keeps their order
---@field limit? integer bytes of each such file: what comes beyond is dropped and counted; default: none
---@field report? boolean the ends of its outputs go into the job's details as `stdout` and `stderr`; the latest such program of this run counts (a step that is not done again reports nothing)
---@field on_line? fun(line: string, is_err: boolean) gets each line as it comes, one after the other; `run` returns when it has had the last

--- Options of `spawn`.
---@class hob.exec.SpawnOptions
---@field [integer] string the program and its arguments
---@field stdin? string text for its standard input
---@field env? table<string, string> added to Hob's own environment
---@field cwd? string where it starts; default `job.dir`
---@field timeout? number seconds until TERM; default: never
---@field grace? number seconds from TERM until KILL, default 5; when the job ends, 30 at most
---@field tail? integer bytes of each stream that are kept, the last 64 KB; at most 16 MB
---@field user? string|integer whom it runs as, by name or number: one of [`users`](config.md) in the configuration, or root for a program that `privileged` names; default: `exec_user`
---@field group? string|integer one of that user's own groups; default: the first of them
---@field stdout? string a file for its standard output, made anew with mode 0600 for its user and synced at the end; nothing of it is kept in the result or in the job's output
---@field stderr? string likewise; the same file for both keeps their order
---@field limit? integer bytes of each such file: what comes beyond is dropped and counted; default: none
---@field on_line? fun(line: string, is_err: boolean) gets each line as it comes, one after the other

--- How a program ended.
---@class hob.exec.Result
---@field code? integer exit status; absent if a signal ended it
---@field signal? integer its number
---@field timed_out boolean it was ended because its `timeout` was over, however it took that
---@field out_of_memory boolean signal 9 ended it, not from Hob, while the kernel counted one more victim of a lack of memory
---@field stdout string the last bytes
---@field stderr string the last bytes
---@field stdout_cut integer how many bytes came before them; of a file: how many are not in it
---@field stderr_cut integer likewise
---@field stdout_written? integer bytes in its file
---@field stderr_written? integer bytes in its file
---@field stdout_error? string why its file could not be written to the end
---@field stderr_error? string why its file could not be written to the end
---@field words string how it ended, for people

--- What `check` raises. It can be used like its message: `tostring(err)`, `"so: " .. err`.
---@class hob.exec.Error
---@field message string the command, how it ended, and its last line of standard error: `script.lua:7: fw-install a.img: exit code 3: no slot`
---@field code string `EXIT_CODE`, `SIGNAL`, `TIMED_OUT`, `OUT_OF_MEMORY`, `STATUS_TAKEN`, `NOT_STARTED` or `EPERM` (not allowed here); `EMSGSIZE`, `ENOSPC`, ...: a file for an output is not whole. The outcome's, if nobody catches it
---@field exit_code? integer at most one of this and `signal`
---@field signal? integer
---@field stdout string the last bytes
---@field stderr string the last bytes

--- ⏳ Run a program to its end. A bad exit status is a result; `nil, message, code`: it could not be
--- started.
---@param command hob.exec.RunOptions
---@return hob.exec.Result|nil result
---@return string|nil message
---@return string|nil code
function exec.run(command) end

--- ⏳ Run a program that must end with 0: anything else raises a `hob.exec.Error`.
---@param command hob.exec.RunOptions
---@return hob.exec.Result result
function exec.check(command) end

--- Start a program that runs beside the handler; garbage is ended.
---@param command hob.exec.SpawnOptions
---@return hob.exec.Process|nil process
---@return string|nil message
---@return string|nil code
function exec.spawn(command) end

--- A program that runs beside the handler.
---@class hob.exec.Process
local Process = {}

--- Its process id.
---@return integer pid
function Process:pid() end

--- Send a signal to its group.
---@param signal? integer|string number or name, default `"TERM"`
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function Process:kill(signal) end

--- ⏳ Wait for its end; `nil, message, "ETIMEDOUT"` when it goes on.
---@param seconds? number default: for ever
---@return hob.exec.Result|nil result
---@return string|nil message
---@return string|nil code
function Process:wait(seconds) end

--- End it now.
function Process:close() end

--------------------------------------------------------------------------- hob.fs

--- Files. Relative names belong to `job.dir`; what is made there belongs to `exec_user`, so that
--- programs can use it. Hob itself does this, as root where it is root: the configuration's
--- [`fs_roots`](config.md) say within which directories (`job.dir` is always one). Where a path
--- leads through links counts; outside of them every function gives `nil, message, "EPERM"`. This
--- contains mistakes, not malice.
---
--- `write`, `copy`, `rename` and `sync` return when it is on the disk. For files over 256 KB, and
--- for what may take long, other jobs go on meanwhile; a small file's fsync holds up all of them.
---@class hob.fs
local fs = {}

--- ⏳ A file's text; regular files up to 64 MB.
---@param path string
---@return string|nil text
---@return string|nil message
---@return string|nil code
function fs.read(path) end

--- ⏳ Write a file whole or not at all: temporary file, fsync, rename. A file that was there gives
--- its mode and its owner to the new one; through a link the file is replaced, not the link.
---@param path string
---@param data string
---@param options? hob.fs.WriteOptions
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function fs.write(path, data, options) end

--- Options of `write` and `copy`.
---@class hob.fs.WriteOptions
---@field mode? string|integer permission bits, `"640"` or their number; default: of the file that was there, else by the umask; of a copy: those of `from`
---@field user? string|integer whom the file is given to, with that user's group, by name or number; only where Hob is root

--- ⏳ Copy a regular file, whole or not at all, as `write` does.
---@param from string
---@param to string
---@param options? hob.fs.WriteOptions
---@return integer|nil bytes
---@return string|nil message
---@return string|nil code
function fs.copy(from, to, options) end

--- Rename a file, a directory or a link within a file system; a file that was there is replaced.
---@param from string
---@param to string
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function fs.rename(from, to) end

--- Make a symbolic link; a file or a link that was there is replaced in one go, so that the name
--- always stands for the one or the other.
---@param target string what it leads to; it need not be there
---@param path string
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function fs.symlink(target, path) end

--- Add to a file's end; it is made if it is missing.
---@param path string
---@param data string
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function fs.append(path, data) end

--- ⏳ Remove a file or an empty directory.
---@param path string
---@param options? hob.fs.RemoveOptions
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function fs.remove(path, options) end

--- Options of `remove`.
---@class hob.fs.RemoveOptions
---@field recursive? boolean with all that is in it

--- Make a directory with its parents; it may be there already.
---@param path string
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function fs.mkdir(path) end

--- The names in a directory.
---@param path string
---@return string[]|nil names
---@return string|nil message
---@return string|nil code
function fs.list(path) end

--- What a name stands for: what a link leads to, or the link itself if it leads nowhere or out of
--- `fs_roots`.
---@param path string
---@return hob.fs.Stat|nil stat
---@return string|nil message
---@return string|nil code
function fs.stat(path) end

--- What `stat` tells.
---@class hob.fs.Stat
---@field type string `"file"`, `"directory"`, `"link"` or `"other"`
---@field size integer bytes
---@field mode integer permission bits
---@field uid integer whose it is
---@field gid integer
---@field mtime number seconds since 1970

--- Is there anything of that name, be it a link that leads nowhere?
---@param path string
---@return boolean|nil is
---@return string|nil message
---@return string|nil code
function fs.exists(path) end

--- What is free on the file system of a file or directory, and how large it is.
---@param path string
---@return integer|nil free bytes that are left to those who are not root
---@return integer|string total bytes; or the message
---@return string|nil code
function fs.free(path) end

--- ⏳ Bring a file or a directory that something else has written to the disk, and its name.
---@param path string
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function fs.sync(path) end

--- Change permissions.
---@param path string
---@param mode string|integer `"755"`, or its number
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function fs.chmod(path, mode) end

--- Make a new directory, in `job.dir`.
---@return string|nil path
---@return string|nil message
---@return string|nil code
function fs.tempdir() end

--------------------------------------------------------------------------- hob.http

--- Downloads that survive broken links, files that are sent, requests to services nearby and AWS's.
--- URLs go out as they are given, and their queries appear in no message and no log. A failure gives
--- `nil, message, code` and, fourth, what came of it ([`http.Refusal`](#httprefusal)). Codes:
--- `EHTTP` (the status; the message has the reason that the server gave), `ECONNREFUSED`,
--- `ECONNRESET`, `ERESOLVE`, `ETIMEDOUT`, `ETLS`, `EDIGEST`, `ELENGTH`, `EMSGSIZE` (over the limit),
--- `ENOSPC` (said before the first byte where the size is known), `EPERM` (outside of `fs_roots`).
---
---     local file = assert(http.download({ url = args.url, to = "image", sha256 = args.sha256,
---       refresh = function()                    -- a presigned URL that has expired
---         local fresh, why = job:fresh_args()
---         return fresh and fresh.url, why
---       end }))
---@class hob.http
local http = {}

--- For AWS's services.
---@class hob.http.Signing
---@field credentials hob.aws.Credentials of `hob.aws.credentials`
---@field region string such as `eu-central-1`
---@field service string such as `s3`

--- Options of `download`.
---@class hob.http.DownloadOptions
---@field url string required; `http` or `https`, without blanks and control characters
---@field to string required: the file. It appears only whole and right; `to`.part is kept of a transfer that broke
---@field sha256? string 64 hexadecimal digits that the file must have, else `EDIGEST`
---@field size? integer bytes that the file must have, else `ELENGTH`
---@field limit? integer the most bytes; default: none
---@field tries? integer how many in a row may bring less than 64 KB, default 3. What is there stays: each goes on by Range
---@field backoff? number seconds before the second try, default 1; it doubles up to 30
---@field refresh? fun(): string|nil, string|nil called when the server refuses the URL as expired (401, 403, 410, 400 with "expired"): another URL, or nil and why there is none. It may wait
---@field on_progress? fun(bytes: integer, total: integer) total 0: unknown
---@field headers? table<string, string>
---@field timeout? number seconds for the whole, all tries; default: none
---@field stall? number seconds in which nothing moves; default 60
---@field proxy? string `http://HOST:PORT`, or `""` for none; default: the config's `proxy` (but not for this host itself), else what the environment says (`http_proxy`, `https_proxy`, `no_proxy`)
---@field ca? string PEM file; default: the system's
---@field cert? string PEM file of a client certificate
---@field key? string PEM file of its key
---@field key_passphrase? string of an encrypted key
---@field device_certificate? boolean show the gateway's own certificate; its `ca` is then the default
---@field allow_http? boolean a redirect may lead from https to http; default false
---@field aws? hob.http.Signing sign by AWS's Signature Version 4

--- Options of `get`.
---@class hob.http.GetOptions
---@field url string required; `http` or `https`, without blanks and control characters
---@field limit? integer bytes of the answer; default 64 MB
---@field tries? integer default 1
---@field backoff? number seconds before the second try, default 1; it doubles up to 30
---@field headers? table<string, string>
---@field timeout? number seconds for the whole, all tries; default: none
---@field stall? number seconds in which nothing moves; default 60
---@field proxy? string `http://HOST:PORT`, or `""` for none; default: the config's `proxy` (but not for this host itself), else what the environment says (`http_proxy`, `https_proxy`, `no_proxy`)
---@field ca? string PEM file; default: the system's
---@field cert? string PEM file of a client certificate
---@field key? string PEM file of its key
---@field key_passphrase? string of an encrypted key
---@field device_certificate? boolean show the gateway's own certificate; its `ca` is then the default
---@field allow_http? boolean a redirect may lead from https to http; default false
---@field aws? hob.http.Signing sign by AWS's Signature Version 4

--- Options of `post`: one of `body`, `json` and `form`.
---@class hob.http.PostOptions
---@field url string required; `http` or `https`, without blanks and control characters
---@field body? string
---@field json? any is sent as JSON
---@field form? table<string, string> is sent as a form
---@field limit? integer bytes of the answer; default 64 MB
---@field headers? table<string, string>
---@field timeout? number seconds for the whole, all tries; default: none
---@field stall? number seconds in which nothing moves; default 60
---@field proxy? string `http://HOST:PORT`, or `""` for none; default: the config's `proxy` (but not for this host itself), else what the environment says (`http_proxy`, `https_proxy`, `no_proxy`)
---@field ca? string PEM file; default: the system's
---@field cert? string PEM file of a client certificate
---@field key? string PEM file of its key
---@field key_passphrase? string of an encrypted key
---@field device_certificate? boolean show the gateway's own certificate; its `ca` is then the default
---@field allow_http? boolean a redirect may lead from https to http; default false
---@field aws? hob.http.Signing sign by AWS's Signature Version 4

--- Options of `put`: one of `file`, `body` and `json`.
---@class hob.http.PutOptions
---@field url string required; `http` or `https`, without blanks and control characters
---@field file? string is read as the server takes it. If it is changed meanwhile: `EBUSY`
---@field body? string
---@field json? any is sent as JSON
---@field limit? integer the most bytes that may be sent; with more nothing is: `EMSGSIZE`
---@field tries? integer default 3; each from the beginning
---@field backoff? number seconds before the second try, default 1; it doubles up to 30
---@field on_progress? fun(bytes: integer, total: integer)
---@field headers? table<string, string>
---@field timeout? number seconds for the whole, all tries; default: none
---@field stall? number seconds in which nothing moves; default 60
---@field proxy? string `http://HOST:PORT`, or `""` for none; default: the config's `proxy` (but not for this host itself), else what the environment says (`http_proxy`, `https_proxy`, `no_proxy`)
---@field ca? string PEM file; default: the system's
---@field cert? string PEM file of a client certificate
---@field key? string PEM file of its key
---@field key_passphrase? string of an encrypted key
---@field device_certificate? boolean show the gateway's own certificate; its `ca` is then the default
---@field allow_http? boolean a redirect may lead from https to http; default false
---@field aws? hob.http.Signing sign by AWS's Signature Version 4

--- Options of `request`.
---@class hob.http.RequestOptions
---@field url string required; `http` or `https`, without blanks and control characters
---@field method? string default GET
---@field body? string
---@field limit? integer bytes of the answer; default 64 MB
---@field headers? table<string, string>
---@field timeout? number seconds for the whole, all tries; default: none
---@field stall? number seconds in which nothing moves; default 60
---@field proxy? string `http://HOST:PORT`, or `""` for none; default: the config's `proxy` (but not for this host itself), else what the environment says (`http_proxy`, `https_proxy`, `no_proxy`)
---@field ca? string PEM file; default: the system's
---@field cert? string PEM file of a client certificate
---@field key? string PEM file of its key
---@field key_passphrase? string of an encrypted key
---@field device_certificate? boolean show the gateway's own certificate; its `ca` is then the default
---@field allow_http? boolean a redirect may lead from https to http; default false
---@field aws? hob.http.Signing sign by AWS's Signature Version 4

--- What a download came to.
---@class hob.http.Download
---@field path string the file
---@field bytes integer its size
---@field sha256 string hexadecimal digits
---@field status integer of the answer
---@field resumed_from integer bytes that were there already

--- An answer.
---@class hob.http.Response
---@field status integer
---@field body string
---@field headers table<string, string> names in small letters
---@field content_type string `""` if there is none

--- What came of a request that failed.
---@class hob.http.Refusal
---@field status integer 0: no answer
---@field body string its first 4 KB
---@field headers table<string, string> names in small letters
---@field content_type string
---@field bytes integer of the file that are there, or were sent
---@field resumed_from integer

--- ⏳ Download a file. A connection that breaks is tried again and goes on where it stopped; so does
--- a later call. To another host go neither Authorization nor Cookie, nor certificate or signature.
---@param options hob.http.DownloadOptions
---@return hob.http.Download|nil download
---@return string|nil message
---@return string|nil code
---@return hob.http.Refusal|nil refusal
function http.download(options) end

--- ⏳ GET, with an answer of 2xx in memory. Redirects are followed, at most 10.
---@param options hob.http.GetOptions
---@return hob.http.Response|nil response
---@return string|nil message
---@return string|nil code
---@return hob.http.Refusal|nil refusal
function http.get(options) end

--- ⏳ POST; once, since twice may be wrong. The answer must be 2xx.
---@param options hob.http.PostOptions
---@return hob.http.Response|nil response
---@return string|nil message
---@return string|nil code
---@return hob.http.Refusal|nil refusal
function http.post(options) end

--- ⏳ PUT, of a file for example. The answer must be 2xx.
---@param options hob.http.PutOptions
---@return hob.http.Response|nil response
---@return string|nil message
---@return string|nil code
---@return hob.http.Refusal|nil refusal
function http.put(options) end

--- ⏳ One request, whatever its method; whatever the status, it is an answer.
---@param options hob.http.RequestOptions
---@return hob.http.Response|nil response
---@return string|nil message
---@return string|nil code
---@return hob.http.Refusal|nil refusal
function http.request(options) end

--- Text as a part of a URL: a segment of its path, a name or a value of its query.
---@param text string
---@return string escaped
function http.escape(text) end

--------------------------------------------------------------------------- hob.json

--- JSON. At most 256 KB and a depth of 32; integers up to 2^53 stay integers.
---@class hob.json
---@field null any stands for `null`
local json = {}

--- Text of a value.
---@param value any
---@return string|nil text
---@return string|nil message names the path of what JSON cannot hold
---@return string|nil code
function json.encode(value) end

--- The value of a text.
---@param text string
---@return any value `nil`: see `message`
---@return string|nil message
---@return string|nil code
function json.decode(text) end

--------------------------------------------------------------------------- hob.log

--- Hob's log. `(text [, fields])` logs the event `lua.log`, `(event, text [, fields])` one of the
--- handler's own, such as `"update.done"`. Job, thing and step are filled in.
---@class hob.log
local log = {}

--- Fields of a line.
---@class hob.log.Fields
---@field thing? string
---@field job? string
---@field execution? integer
---@field step? string
---@field code? string for programs
---@field action? string what a person can do about it

--- For whoever looks for a mistake.
---@param event string or the text
---@param text? string|hob.log.Fields
---@param fields? hob.log.Fields
function log.debug(event, text, fields) end

--- For the record.
---@param event string or the text
---@param text? string|hob.log.Fields
---@param fields? hob.log.Fields
function log.info(event, text, fields) end

--- Somebody should look at it.
---@param event string or the text
---@param text? string|hob.log.Fields
---@param fields? hob.log.Fields
function log.warn(event, text, fields) end

--- Something failed.
---@param event string or the text
---@param text? string|hob.log.Fields
---@param fields? hob.log.Fields
function log.error(event, text, fields) end

--- Level and format of `hob lua`'s own log. In a job it raises: the configuration says them.
---@param options hob.log.Options
function log.configure(options) end

--- Options of `configure`.
---@class hob.log.Options
---@field level? string `"debug"`, `"info"`, `"warn"`, `"error"` or `"off"`
---@field format? string `"text"` or `"json"`

--------------------------------------------------------------------------- hob.time

--- Clocks and timers.
---@class hob.time
local time = {}

--- Seconds since 1970, by the device's clock, which may be wrong or jump.
---@return number seconds
function time.now() end

--- Seconds that never jump, from an arbitrary start.
---@return number seconds
function time.mono() end

--- A time in ISO 8601, UTC.
---@param seconds number since 1970
---@return string text `"2026-11-23T09:15:00.000Z"`
function time.text(seconds) end

--- ⏳ Wait.
---@param seconds number
function time.sleep(seconds) end

--- Call a function later, as a task of its own.
---@param seconds number
---@param fn function
---@return hob.time.Timer timer
function time.after(seconds, fn) end

--- A call that is to come.
---@class hob.time.Timer
local Timer = {}

--- Forget it.
function Timer:cancel() end

--------------------------------------------------------------------------- hob.cloud

--- The gateway's own connection to AWS IoT: whether it is there, and messages of the handler's own on
--- the topics that [`topics`](config.md) allows; a refusal (`EACCES`) names the topic. The device's
--- policy must allow them, too: AWS closes the connection of who publishes what it does not. The
--- topics of AWS IoT Jobs are never among them; those are for [`iotjobs`](iotjobs.md). Where no
--- gateway runs (`hob lua`) all of it gives `nil, message, "ENOTCONN"`.
---
---     local cloud = require("hob.cloud")
---     assert(cloud.wait_online(300))
---     assert(cloud.publish("gateways/" .. job.thing .. "/log", { installed = version }))
---@class hob.cloud
local cloud = {}

--- Whether the service is reached: connected, and heard on the topics of jobs. So jobs can be told
--- of, and new ones come.
---@return boolean connected
function cloud.connected() end

--- ⏳ Wait until it is: in a step after an update, the proof that the new system reaches the cloud.
---@param seconds? number default: for ever
---@return boolean|nil true
---@return string|nil message
---@return string|nil code `ETIMEDOUT`
function cloud.wait_online(seconds) end

--- The files of this thing's identity, as the configuration names them; as absolute paths.
---@return hob.cloud.Files|nil files
---@return string|nil message
---@return string|nil code `EPERM`: its connection is another thing's, or the product's
function cloud.files() end

--- See `files`.
---@class hob.cloud.Files
---@field ca? string who may have signed the endpoint's certificate
---@field cert? string the thing's certificate; absent where it has none
---@field key? string its private key

--- ⏳ Give the connection up, make it anew and wait until the service is reached: certificate and key
--- are read again then. For handlers that change them.
---@param reason string for the log
---@param seconds? number default: for ever
---@return boolean|nil true
---@return string|nil message why not, as far as it is known
---@return string|nil code `ETIMEDOUT`, or `EPERM`: its connection is another thing's, or the product's
function cloud.reconnect(reason, seconds) end

--- ⏳ Publish a message. At QoS 1 it has arrived when this returns true. Nothing is kept for later:
--- `ENOTCONN` while there is no connection, or when it broke before the answer (then it may have
--- arrived). At most 128 KB (`EMSGSIZE`), and a topic as AWS takes it: 256 bytes, 7 slashes
--- (`EINVAL`).
---@param topic string
---@param payload string|table a table goes as JSON
---@param options? hob.cloud.PublishOptions
---@return boolean|nil true
---@return string|nil message
---@return string|nil code
function cloud.publish(topic, payload, options) end

--- See `publish`.
---@class hob.cloud.PublishOptions
---@field qos? integer 0 or 1; default 1
---@field retain? boolean the broker keeps it for those who come later

--- ⏳ Call `fn(topic, payload)` for each message that matches the filter, until it is closed or the job
--- ends. After a reconnect it is subscribed to anew; what was published meanwhile is lost. Where that
--- is refused, `conn.unsubscribed` is logged.
---@param filter string an MQTT filter; it must lie within one that is allowed
---@param fn fun(topic: string, payload: string)
---@param options? hob.cloud.SubscribeOptions
---@return hob.cloud.Subscription|nil subscription
---@return string|nil message
---@return string|nil code `ENOTCONN`; `EREFUSED`: the broker does not let it
function cloud.subscribe(filter, fn, options) end

--- See `subscribe`.
---@class hob.cloud.SubscribeOptions
---@field qos? integer 0 or 1; default 1

--- See `subscribe`.
---@class hob.cloud.Subscription
local Subscription = {}

--- Hear no more of it. `<close>` does so, too.
function Subscription:close() end

--------------------------------------------------------------------------- hob.aws

--- AWS's services by the certificate of this gateway: temporary credentials from
--- [AWS IoT's credentials provider](https://docs.aws.amazon.com/iot/latest/developerguide/authorizing-direct-aws.html),
--- and what is done with them. Credentials are not saved with a step, and show their secrets to
--- nothing that prints: ask for them in the step that uses them.
---
---     job:step("upload", function()
---       local credentials = assert(aws.credentials("gateway-logs"))
---       return aws.put_s3({ bucket = "fleet-logs", key = job.thing .. "/log.tar.gz",
---         file = "log.tar.gz", limit = 50e6, region = "eu-central-1", credentials = credentials })
---     end)
---@class hob.aws
local aws = {}

--- See `credentials`. A plain table with `access_key_id`, `secret_access_key` and `session_token`
--- is taken, too.
---@class hob.aws.Credentials
---@field access_key_id string
---@field expires? number seconds since 1970

--- Options of `credentials`; the gateway's own values are the default.
---@class hob.aws.CredentialsOptions
---@field endpoint? string default: the config's `credentials_endpoint`
---@field thing? string default: the thing's name
---@field ca? string PEM file
---@field cert? string PEM file
---@field key? string PEM file
---@field key_passphrase? string
---@field proxy? string
---@field timeout? number seconds, default 60

--- ⏳ Temporary credentials of the role behind a role alias. They are kept until five minutes before
--- they expire.
---@param role_alias string
---@param options? hob.aws.CredentialsOptions
---@return hob.aws.Credentials|nil credentials
---@return string|nil message says what the IoT policy must allow
---@return string|nil code
function aws.credentials(role_alias, options) end

--- Options of `put_s3`: `file` or `body`.
---@class hob.aws.PutOptions
---@field bucket string
---@field key string the object's name
---@field region string of the bucket
---@field credentials hob.aws.Credentials
---@field file? string
---@field body? string
---@field limit? integer the most bytes that may be sent
---@field headers? table<string, string> such as `["Content-Type"]`
---@field on_progress? fun(bytes: integer, total: integer)
---@field timeout? number seconds
---@field tries? integer default 3
---@field backoff? number
---@field endpoint? string `https://HOST` of something that speaks as S3 does
---@field ca? string PEM file
---@field proxy? string

--- An object that was written.
---@class hob.aws.Object
---@field url string `s3://BUCKET/KEY`
---@field etag? string
---@field version? string

--- ⏳ Write one object.
---@param options hob.aws.PutOptions
---@return hob.aws.Object|nil object
---@return string|nil message
---@return string|nil code
---@return hob.http.Refusal|nil refusal
function aws.put_s3(options) end


--------------------------------------------------------------------------- hob.systemd

--- Units, by `systemctl` and `systemd-run`. Looking works for everybody; to change units Hob must be
--- root and the configuration say `privileged = { "systemctl" }`, for `run` `"systemd-run"`, too:
--- that is as good as root for every handler. Codes: `ENOENT` (no such unit), `EACCES` (systemd wants
--- root), `EUNSUPPORTED` (systemd is not running here), `EEXEC` (it failed; the message is systemd's),
--- `ETIMEDOUT`.
---@class hob.systemd
local systemd = {}

--- ⏳ Start a unit.
---@param unit string
---@param options? hob.systemd.VerbOptions
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function systemd.start(unit, options) end

--- ⏳ Stop a unit.
---@param unit string
---@param options? hob.systemd.VerbOptions
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function systemd.stop(unit, options) end

--- ⏳ Stop a unit, if it runs, and start it.
---@param unit string
---@param options? hob.systemd.VerbOptions
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function systemd.restart(unit, options) end

--- ⏳ Have a unit read its own configuration again.
---@param unit string
---@param options? hob.systemd.VerbOptions
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function systemd.reload(unit, options) end

--- ⏳ Have a unit started at each boot; it is not started now.
---@param unit string
---@param options? hob.systemd.VerbOptions
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function systemd.enable(unit, options) end

--- ⏳ The opposite of `enable`; it is not stopped now.
---@param unit string
---@param options? hob.systemd.VerbOptions
---@return boolean|nil done
---@return string|nil message
---@return string|nil code
function systemd.disable(unit, options) end

--- Options of `start`, `stop`, `restart`, `reload`, `enable` and `disable`.
---@class hob.systemd.VerbOptions
---@field timeout? number seconds until `systemctl` is given up: systemd goes on with what it began
---@field no_block? boolean do not wait until the unit has started or stopped

--- ⏳ Is a unit active? A unit that is not there gives `nil, message, "ENOENT"`.
---@param unit string
---@return boolean|nil active
---@return string|nil state `"active"`, `"failed"`, ...; or the message
---@return string|nil code
function systemd.is_active(unit) end

--- ⏳ What systemd knows of a unit. One that is not there has `LoadState` `"not-found"`.
---@param unit string
---@return hob.systemd.Status|nil status
---@return string|nil message
---@return string|nil code
function systemd.status(unit) end

--- What `status` tells, under systemd's own names.
---@class hob.systemd.Status
---@field Id string
---@field Description? string
---@field LoadState string `"loaded"`, `"not-found"`, ...
---@field ActiveState string `"active"`, `"inactive"`, `"failed"`, `"activating"`, ...
---@field SubState string `"running"`, `"exited"`, `"auto-restart"`, ...
---@field UnitFileState? string `"enabled"`, `"disabled"`, ...
---@field Transient? string `"yes"`: made by `systemd-run`
---@field MainPID? integer 0: none
---@field Result? string `"success"`, `"exit-code"`, `"timeout"`, ...
---@field ExecMainCode? integer 1: it exited; 2, 3: a signal ended it
---@field ExecMainStatus? integer exit status, or the signal
---@field NRestarts? integer

--- ⏳ Wait until a unit is in a state. To become `"active"` a unit that has failed is not waited for.
---@param unit string
---@param state string `"active"`, `"inactive"`, `"failed"`, ...
---@param seconds number
---@return boolean|nil reached
---@return string|nil message
---@return string|nil code
function systemd.wait(unit, state, seconds) end

--- ⏳ Run a program as a transient unit, which goes on when Hob is started again (a step that was
--- interrupted runs again, and waits for the unit that is there), and when the job is cancelled: then
--- `cleanup` has to stop it. Name the unit by the job: `unit = "update-" .. job.id`.
--- ```lua
--- local done = assert(systemd.run{ "apt-get", "-y", "upgrade", unit = "upgrade-" .. job.id,
---   env = { DEBIAN_FRONTEND = "noninteractive" }, timeout = 3600 })
--- if done.code ~= 0 then return nil, "apt-get: " .. done.result end
--- ```
---@param command hob.systemd.RunOptions
---@return hob.systemd.Result|nil result
---@return string|nil message
---@return string|nil code
function systemd.run(command) end

--- Options of `run`.
---@class hob.systemd.RunOptions
---@field [integer] string the program and its arguments
---@field unit string required; `.service` may be left out
---@field user? string whom it runs as; default: root
---@field group? string
---@field properties? table<string, string|number|boolean> of the unit: `{ MemoryMax = "64M" }`
---@field env? table<string, string|number>
---@field cwd? string
---@field description? string
---@field timeout? number seconds, kept by systemd
---@field wait? boolean `false`: return when it has started

--- How a transient unit ended.
---@class hob.systemd.Result
---@field unit string
---@field attached boolean it was there already
---@field code? integer exit status
---@field signal? integer what ended it
---@field result? string systemd's word for it: `"success"`, `"exit-code"`, `"timeout"`, ...
---@field timed_out? boolean

--------------------------------------------------------------------------- hob.verify

--- Digests and signatures. How to sign and check the files of a job:
--- [code-signed files](../how-to/code-signed-files.md).
---@class hob.verify
local verify = {}

--- ⏳ The SHA-256 of a file, however large.
---@param path string
---@return string|nil sha256 64 hexadecimal digits, in small letters
---@return string|nil message
---@return string|nil code
function verify.sha256(path) end

--- The SHA-256 of a text.
---@param text string
---@return string sha256
function verify.sha256_text(text) end

--- Options of `signature`: `file` or `data`; `key` or `certificate`. PEM is a text, or a file's name.
---@class hob.verify.SignatureOptions
---@field file? string
---@field data? string
---@field signature string base64, or the bytes
---@field algorithm string `SHA256-ECDSA`, `SHA256-RSA` (PKCS #1 v1.5), also with SHA1, SHA384, SHA512; AWS's other names for them (`sig-sha256-ecdsa`, `SHA256withRSA`) are taken, too
---@field key? string PEM: a public key; trusted as it is
---@field certificate? string PEM: trusted as it is (its dates do not count), or by `ca`
---@field ca? string PEM: must have issued the certificate for code signing, and it must be valid now

--- Who has signed.
---@class hob.verify.Signer
---@field name string `CN=Release`; `""` of a bare key
---@field key string the file of the key
---@field expired boolean the certificate is not valid now, by its dates

--- ⏳ Is this the signature of these bytes by that key?
---@param options hob.verify.SignatureOptions
---@return boolean|nil ok true, or nil
---@return hob.verify.Signer|string signer or the message
---@return string|nil code `ESIGNATURE`: it is not
function verify.signature(options) end

--- Options of `codesign`.
---@class hob.verify.CodesignOptions
---@field signers? string[] PEM texts or files; default: the config's `signers`
---@field sha1? boolean accept SHA-1; default false
---@field data? string check these bytes, which the handler has read; the file's name is for messages

--- ⏳ Is the file signed as the job document's `codesign` member says, by a signer that is trusted
--- here? The member is what AWS Signer writes (`rawPayloadSize`, `signature`, `signatureAlgorithm`),
--- what custom signing writes, or a file's entry of an OTA document (`sig-sha256-ecdsa`).
---@param member table
---@param file string
---@param options? hob.verify.CodesignOptions
---@return boolean|nil ok true, or nil
---@return hob.verify.Signer|string signer or the message
---@return string|nil code `ESIGNATURE`: it is not, or cannot be told
function verify.codesign(member, file, options) end

--- The files of the config's `signers`.
---@return string[]|nil files
---@return string|nil message
---@return string|nil code
function verify.signers() end

--------------------------------------------------------------------------- hob.keys

--- Private keys of this device: made, asked to be certified, compared with a certificate; and the
--- dates of that. Where a key or a certificate is wanted, the path of a file or a PEM text will do. A key file that is
--- made here can be read by its owner only, which is Hob's own user, also in the job's directory.
--- ```lua
--- job:step("key", function()
---   assert(keys.generate{ to = "/etc/hob/new.key", replace = true }) -- again, if interrupted here
---   return assert(keys.csr{ key = "/etc/hob/new.key", subject = "CN=" .. job.thing })
--- end)
--- ```
---@class hob.keys
local keys = {}

--- Options of `generate`.
---@class hob.keys.GenerateOptions
---@field to string the file: mode 0600, there whole or not at all
---@field type? "ec"|"rsa" default `"ec"`, on the curve P-256
---@field bits? integer of an RSA key: 2048 (the default), 3072 or 4096
---@field replace? boolean a file that is there; else `EEXIST`: it may be the only copy of a key

--- ⏳ Make a private key. An RSA key takes seconds on a small device; nothing else waits for it.
---@param options hob.keys.GenerateOptions
---@return boolean|nil made
---@return string|nil message
---@return string|nil code `EEXIST`, ...
function keys.generate(options) end

--- Options of `csr`.
---@class hob.keys.CsrOptions
---@field key string path or PEM
---@field subject string `"CN=gateway-7, O=Example"`; a comma in a value is written `\,`
---@field passphrase? string of an encrypted key

--- ⏳ A certificate signing request (PKCS #10, SHA-256), as fleet provisioning takes it.
---@param options hob.keys.CsrOptions
---@return string|nil pem
---@return string|nil message
---@return string|nil code
function keys.csr(options) end

--- Options of `matches`.
---@class hob.keys.MatchesOptions
---@field passphrase? string of an encrypted key

--- ⏳ Do the certificate (the first in its file) and the key belong together?
---@param certificate string path or PEM
---@param key string path or PEM
---@param options? hob.keys.MatchesOptions
---@return boolean|nil match nil: one of them cannot be read
---@return string|nil message
---@return string|nil code
function keys.matches(certificate, key, options) end

--- From when until when a certificate is valid, in seconds since 1970, as `hob.time.now` counts.
---@class hob.keys.Dates
---@field not_before integer
---@field not_after integer the last second at which it is valid

--- ⏳ The dates of a certificate (the first in its file).
---@param certificate string path or PEM
---@return hob.keys.Dates|nil dates
---@return string|nil message
---@return string|nil code
function keys.dates(certificate) end

--------------------------------------------------------------------------- hob.scripts

--- The handlers and modules of the gateway that runs the job: which versions are in use. For
--- handlers that change handlers, such as [`update-handler`](../how-to/update-handlers.md). Files
--- are named within the `scripts` directory: `"reboot.lua"`, `"lib/packages.lua"`. Where no gateway
--- runs, on a bench, every function gives `nil, message, "ENOTCONN"`.
---@class hob.scripts
local scripts = {}

--- The path of the `scripts` directory; of several, the first: what is written there is used.
---@return string|nil path
---@return string|nil message
---@return string|nil code
function scripts.directory() end

--- All of them. Of files with the same name the one in the first directory is used.
---@return string[]|nil paths
---@return string|nil message
---@return string|nil code
function scripts.directories() end

--- Are files that change loaded by themselves? Not with `reload = false`.
---@return boolean|nil watched
---@return string|nil message
---@return string|nil code
function scripts.is_watched() end

--- What is in use of each file.
---@return table<string, hob.scripts.Version>|nil files by their names
---@return string|nil message
---@return string|nil code
function scripts.list() end

--- What is in use of a file. A broken file whose last good version stays in use has `newer`.
---@class hob.scripts.Version
---@field sha256? string of its text; nil: it cannot be read, or no version of it is in use
---@field path? string of the file; nil: no version of it is in use
---@field error? string why it cannot be used
---@field newer? hob.scripts.Version what the file holds now, and is not in use

--- ⏳ Would it work? Checked as hot reload does, and nothing is changed: a handler's table, and that no
--- other handler has one of its `names`; with a module each handler that works now.
---@param file string
---@param text? string nil: if the file were not there
---@return boolean|nil ok
---@return string|nil message
---@return string|nil code `EHANDLER`: it is broken, or another handler would be
function scripts.try(file, text) end

--- ⏳ Wait until hot reload has taken a version of a file, or has refused it.
---@param file string
---@param sha256 string|false of its text; false: until the file is gone
---@param seconds number
---@return boolean|nil taken
---@return string|nil message
---@return string|nil code `EHANDLER`: refused; `ETIMEDOUT`
function scripts.wait(file, sha256, seconds) end


--------------------------------------------------------------------------- hob.future

--- A result that comes later: one task waits for it, another gives it.
---@class hob.future
local future = {}

--- A future without a result.
---@return hob.future.Future future
function future.new() end

--- See `new`.
---@class hob.future.Future
local Future = {}

--- Give it its result, once.
---@param ... any
---@return boolean first false: it had one
function Future:resolve(...) end

--- ⏳ Wait for its result; `nil, message, "ETIMEDOUT"` when it was not there in time.
---@param seconds? number default: for ever
---@return any ... what `resolve` was given
function Future:result(seconds) end

--- Whether it has a result.
---@return boolean done
function Future:done() end

--------------------------------------------------------------------------- hob.mqtt, iotjobs

--- The gateway's own connection, limited to the jobs topics of its thing. What it is for is
--- [`iotjobs`](iotjobs.md), AWS's own view of jobs:
--- [how to use it](../how-to/use-iotjobs.md#in-a-handler). For messages of a handler's own there is
--- `hob.cloud`.
---@class hob.mqtt
local mqtt = {}

--- The connection, for `iotjobs.IotJobsClient`.
---@return any connection
function mqtt.agent() end

--- For client tokens.
---@return string id 32 hexadecimal digits
function mqtt.unique_id() end

--------------------------------------------------------------------------- hob.testing

--- For specs of handlers, not for handlers: run one as a device does (its sandbox, steps and store
--- are the real ones), with programs, HTTP, files and a clock as the spec says.
--- [How to test a handler](../how-to/test-handlers.md); `hob handler test` runs the specs.
---
---     local outcome = testing.run("restart", {
---       document = { operation = "restart", unit = "sensor" },
---       exec = { { "systemctl restart sensor" } },
---     })
---     assert.equal("SUCCEEDED", outcome.status)
---@class hob.testing
local testing = {}

--- ⏳ Run a handler to its end. Reboots, sleeping and `hob.cloud` are simulated. A call that no answer
--- is given for fails the spec, also if the handler catches its error.
---@param name string
---@param options? hob.testing.Options
---@return hob.testing.Outcome outcome
function testing.run(name, options) end

--- ⏳ Run it again and again, each time with a power cut at another point:
--- [rehearsing](../how-to/rehearse.md).
---@param name string
---@param options? hob.testing.Options
---@return hob.testing.Rehearsal rehearsal
function testing.rehearse(name, options) end

--- See `run`. A pattern of a program is a text, `"systemctl restart *"`, a list of words, or a function of
--- the words; `*` stands for any characters, as the last word for any more words. The first rule that
--- fits answers.
---@class hob.testing.Options
---@field document? table|string the job document; a table without `operation` gets the handler's name
---@field args? table in its place: the members of such a document
---@field exec? table[] programs, `{ pattern, code = 0, stdout = "", stderr = "", signal =, timed_out =, error =, error_code =, times =, answer = function(words, options) … end }`; `times`: so often at most
---@field http? table[] requests, `{ "https://host/*", status = 200, body = "", method =, headers =, sha256 =, error =, error_code =, times =, answer = function(request) … end }`
---@field files? table the device's files, path to text, `true` for a directory; what lies in the job's own directory is real
---@field calls? table any other function by its name, `{ ["systemd.restart"] = true }`: its result, or a function that gives it
---@field env? table for `os.getenv`
---@field clock? number seconds since 1970 at the beginning; default: 1 January 2026
---@field cut? table a power cut, `{ step = "install", at = "after", number = 1 }`: at the step's `"begin"` or `"end"`, `"before"` or `"after"` its call of that number, or when it is `"saved"`
---@field retries? boolean after `job:retry_later` go on at once
---@field scripts? string the handlers' directory; default: `--scripts` of `hob handler test`, else `scripts`
---@field policy? table what it may do, `{ commands = {…}, roots = {…} }`; default: all
---@field thing? string default `"bench"`

--- What a handler came to.
---@class hob.testing.Outcome
---@field status string `"SUCCEEDED"`, `"FAILED"`, `"REJECTED"`, or `"RETRY_LATER"`
---@field details table<string, string> as they would be sent
---@field code? string of the details
---@field reason? string likewise
---@field steps table[] `{ name =, result =, failure = { message =, code = } }`, as they ended
---@field results table the results of those that ended well, by their names
---@field calls string[] what it called, as one would write it, but for clocks
---@field programs string[] the programs of these: `"systemctl restart sensor"`
---@field files table<string, string> the device's files as they are now
---@field progress string[]
---@field log string[]
---@field outside string[] calls between steps, where none should be
---@field wait? number seconds that `job:retry_later` asked for
---@field runs integer
---@field reboots integer
---@field slept number seconds, by its own clock
---@field unused string[] rules of `exec` and `http` that no call has used

--- What power cuts did.
---@class hob.testing.Rehearsal
---@field problems string[] what is to be mended: `assert.same({}, rehearsal.problems)`
---@field cuts table[] `{ at =, step =, name =, kind =, status =, code =, ran_again =, repeated = }` each
---@field repeated string[] calls that were done twice after some cut
