-- Asks Fineprint about a call, with its body, and refuses what it refuses.
local QUESTION = "http://127.0.0.1:8080/authz/forward"
-- HAProxy 2.6 tries four times, so a question takes four times this at most.
local TIMEOUT_MS = 250
-- What happens when Fineprint is away, late, or answers 5xx: true lets the call pass, false answers 503.
local FAIL_OPEN = false

-- Headers of the call that Fineprint reads; everything else stays here.
local SENT = { "authorization", "x-api-key", "user-agent", "accept-language", "x-forwarded-for", "x-request-id",
               "x-tos-account", "content-type", "content-encoding" }

local function refuse(txn, status, headers, body)
    local reply = txn:reply({ status = status })
    reply:add_header("content-type", "application/json")
    for _, name in ipairs({ "retry-after", "x-tos-decision" }) do
        if headers[name] then reply:add_header(name, headers[name][0]) end
    end
    reply:set_body(body or "")
    txn:done(reply)
end

core.register_action("fineprint", { "http-req" }, function(txn)
    local all, headers = txn.http:req_get_headers(), {}
    for _, name in ipairs(SENT) do
        if all[name] then
            headers[name] = {}
            for _, value in pairs(all[name]) do table.insert(headers[name], value) end
        end
    end
    headers["x-forwarded-method"] = { txn.f:method() }
    headers["x-forwarded-uri"] = { txn.f:pathq() }
    local answer = core.httpclient():post({
        url = QUESTION, headers = headers, body = txn.f:req_body() or "", timeout = TIMEOUT_MS,
    })
    local status = answer and answer.status or 0
    if status == 200 or (FAIL_OPEN and (status == 0 or status >= 500)) then return end
    if status == 0 or status >= 500 then
        return refuse(txn, 503, {}, '{"error":{"message":"Policy is not available.","type":"unavailable"}}')
    end
    refuse(txn, status, answer.headers, answer.body)
end, 0)
