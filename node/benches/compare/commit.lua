-- Sells the units of a hold, or says why not, as one step: what a careful shop's commit does.
--
-- KEYS  1 the SKU   2 the cart's hold   3 all holds by deadline
-- ARGV  1 the cart's name
--
-- Answers a status: committed, or the reason of a refusal. Refusals come before the first change.

local hold = redis.call('HMGET', KEYS[2], 'state', 'deadline', 'quantity')
if not hold[1] then
    return redis.status_reply('reservation_not_found')
end
if hold[1] ~= 'held' then
    return redis.status_reply('already_committed')
end
local now = redis.call('TIME')
if now[1] * 1000 + math.floor(now[2] / 1000) >= tonumber(hold[2]) then
    return redis.status_reply('reservation_expired')
end

redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[2], 'state', 'committed')
redis.call('HINCRBY', KEYS[1], 'sold', hold[3])
return redis.status_reply('committed')
