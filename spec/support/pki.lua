-- pki.lua - a throw-away certificate authority for specs and the demo, by the openssl command line.
--
--     local pki = require("spec.support.pki").new()
--     pki.ca                                       -- path of the CA's certificate
--     local server = pki:issue{ cn = "broker" }    -- for localhost and 127.0.0.1
--     local client = pki:issue{ cn = "thing-1", san = {} }
--     client.cert, client.key                      -- paths of PEM files
--     pki:remove()
--
-- Keys are EC P-256 unless `algorithm = "rsa"`. Nothing here is fit for production.

local exec = require("hob.exec")
local fs = require("hob.fs")

local M = {}

local DAY = 86400

local CA_CONFIG = [[
[ca]
default_ca = here
[here]
dir = %s
database = $dir/index.txt
serial = $dir/serial
new_certs_dir = $dir
certificate = $dir/ca.crt
private_key = $dir/ca.key
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
[any]
commonName = supplied
organizationName = optional
]]

local function must(value, message)
    return value or error(message, 3)
end

local function openssl(...)
    return exec.check{ timeout = 60, "openssl", ... }
end

local function make_key(path, algorithm)
    if algorithm == "rsa" then
        openssl("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048",
            "-out", path)
    else
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-out", path)
    end
end

local function stamp(seconds)
    return os.date("!%Y%m%d%H%M%SZ", math.floor(os.time() + seconds))
end

local function encrypt_key(pair, options)
    local plain = pair.key .. ".plain"
    must(fs.write(plain, must(fs.read(pair.key))))
    local tool = options.algorithm == "rsa" and { "rsa", "-traditional" } or { "ec" }
    tool[#tool + 1] = "-aes256"
    local command = { "openssl", timeout = 60, env = { HOB_SPEC_PASS = options.passphrase } }
    table.move(tool, 1, #tool, 2, command)
    for _, word in ipairs{ "-passout", "env:HOB_SPEC_PASS", "-in", plain, "-out", pair.key } do
        command[#command + 1] = word
    end
    exec.check(command)
    must(fs.remove(plain))
end

---@class pki
---@field dir string   every file is in here
---@field ca string    the CA's certificate (PEM)
local pki = {}
pki.__index = pki

---@class pki.new_options
---@field cn? string         the CA's name, default "Hob spec CA"
---@field algorithm? string  "ec" (default) or "rsa"

--- Make a new CA in a temporary directory.
---@param options? pki.new_options
---@return pki
function M.new(options)
    options = options or {}
    local dir = must(fs.tempdir())
    local self = setmetatable({ dir = dir, ca = dir .. "/ca.crt", count = 0 }, pki)
    must(fs.write(dir .. "/ca.cnf", CA_CONFIG:format(dir)))
    must(fs.write(dir .. "/index.txt", ""))
    must(fs.write(dir .. "/serial", "1000\n"))
    make_key(dir .. "/ca.key", options.algorithm)
    openssl("req", "-x509", "-new", "-key", dir .. "/ca.key", "-sha256", "-days", "3650",
        "-subj", "/CN=" .. (options.cn or "Hob spec CA"), "-out", self.ca)
    return self
end

---@class pki.issue_options
---@field cn string            the common name
---@field san? string[]        default { "DNS:localhost", "IP:127.0.0.1" }; {}: none
---@field from? number         start of validity, seconds from now, default one day ago
---@field to? number           end of validity, seconds from now, default in 30 days
---@field days? number         the same as `to`, in days
---@field algorithm? string    "ec" (default) or "rsa"
---@field passphrase? string   encrypt the key (in the traditional PEM form)
---@field extensions? string   further lines, such as "extendedKeyUsage = codeSigning"

---@class pki.pair
---@field cert string  path
---@field key string   path

--- Issue a certificate with a key of its own.
---@param options pki.issue_options
---@return pki.pair
function pki:issue(options)
    self.count = self.count + 1
    local base = ("%s/%d-%s"):format(self.dir, self.count, (options.cn:gsub("[^%w.-]", "_")))
    local pair = { cert = base .. ".crt", key = base .. ".key" }
    make_key(pair.key, options.algorithm)
    openssl("req", "-new", "-key", pair.key, "-subj", "/CN=" .. options.cn, "-out",
        base .. ".csr")
    local extensions = "basicConstraints = CA:false\n"
    local san = options.san or { "DNS:localhost", "IP:127.0.0.1" }
    if #san > 0 then
        extensions = extensions .. "subjectAltName = " .. table.concat(san, ",") .. "\n"
    end
    must(fs.write(base .. ".ext", extensions .. (options.extensions or "") .. "\n"))
    local to = options.to or (options.days or 30) * DAY
    openssl("ca", "-batch", "-notext", "-config", self.dir .. "/ca.cnf",
        "-startdate", stamp(options.from or -DAY), "-enddate", stamp(to),
        "-extfile", base .. ".ext", "-in", base .. ".csr", "-out", pair.cert)
    if options.passphrase then encrypt_key(pair, options) end
    return pair
end

--- Take away every file.
function pki:remove()
    fs.remove(self.dir, { recursive = true })
end

return M
