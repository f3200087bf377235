-- FORGET. ARGV[4] the node to be forgotten, [5] the largest revision that the asker knows of
-- Answers OK dataset | NOTFOUND dataset | EXISTS dataset rest-in-ms | CONFLICT dataset
-- | FENCED dataset

if not entry_entitled() then
	return { 'FENCED', dataset }
end
local entry = redis.call('HGET', nodes_key, ARGV[4])
if not entry then
	return { 'NOTFOUND', dataset }
end
local rest_ms = redis.call('PTTL', prefix .. 'node:' .. ARGV[4])
if rest_ms >= 0 then
	return { 'EXISTS', dataset, text(math.max(rest_ms, 1)) }
end
if number(revision) ~= number(ARGV[5]) then
	return { 'CONFLICT', dataset }
end
local last = number(string.match(entry, '^(%d+) '))
local struck_off = number(redis.call('HGET', counters_key, 'struck_off') or '0')
redis.call('HSET', counters_key, 'struck_off', text(math.max(last, struck_off)))
redis.call('HDEL', nodes_key, ARGV[4])
redis.call('PUBLISH', channel, 'node ' .. ARGV[4] .. ' incarnation ' .. text(last) .. ' forgotten')
return { 'OK', dataset }
