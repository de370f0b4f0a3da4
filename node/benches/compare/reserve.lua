-- Takes units of a SKU for a cart, or says why not, as one step: what a careful shop's reserve does.
--
-- KEYS  1 the SKU   2 the cart's hold   3 all holds by deadline   4 the last fencing token
-- ARGV  1 the SKU's name   2 the cart's name   3 how many units   4 how long they are held, in milliseconds
--
-- Answers the hold's name and its fencing token, or the reason of a refusal as a status. Refusals come before the
-- first change.

local quantity = tonumber(ARGV[3])
if redis.call('EXISTS', KEYS[2]) == 1 then
    return redis.status_reply('cart_already_reserved')
end
local stock = redis.call('HGET', KEYS[1], 'stock')
if not stock then
    return redis.status_reply('sku_not_found')
end
if tonumber(stock) < quantity then
    return redis.status_reply('insufficient_stock')
end

local now = redis.call('TIME')
local deadline = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[4]
local token = redis.call('INCR', KEYS[4])
redis.call('HINCRBY', KEYS[1], 'stock', -quantity)
redis.call('HSET', KEYS[2], 'state', 'held', 'sku', ARGV[1], 'quantity', quantity, 'cart', ARGV[2],
    'deadline', deadline, 'token', token)
redis.call('ZADD', KEYS[3], deadline, ARGV[2])
return { ARGV[2], token }
