-- REGISTER. ARGV[4] seen incarnation, [5] lease in ms, [6] limit of nodes,
-- [7] the node: mac ipv4 udp_port workers buckets protocol socket
-- Answers OK dataset incarnation | EXISTS dataset rest-in-ms | BUSY dataset | ERR dataset

local rest_ms = redis.call('PTTL', lease_key)
if rest_ms >= 0 then
	return { 'EXISTS', dataset, text(math.max(rest_ms, 1)) }
end

local entry = redis.call('HGET', nodes_key, node)
local known
if entry then
	known = string.match(entry, '^(%d+) ')
else
	known = redis.call('HGET', counters_key, 'struck_off') or '0'
end
local incarnation = math.max(number(known), number(ARGV[4])) + 1
if incarnation > LARGEST then
	return { 'ERR', dataset }
end
if not entry and redis.call('HLEN', nodes_key) >= number(ARGV[6]) then
	return { 'BUSY', dataset }
end

entry = text(incarnation) .. ' ' .. ARGV[7]
lease_write(entry, ARGV[5])
redis.call('HSET', nodes_key, node, entry)
return { 'OK', dataset, text(incarnation) }
