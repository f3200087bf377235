-- REGISTER. ARGV[4] seen incarnation, [5] lease in ms, [6] limit of nodes,
-- [7] the node: mac ipv4 udp_port workers buckets protocol socket
-- Answers OK dataset incarnation | EXISTS dataset rest-in-ms | ERR dataset

local rest_ms = redis.call('PTTL', lease_key)
if rest_ms >= 0 then
	return { 'EXISTS', dataset, text(math.max(rest_ms, 1)) }
end

local entry = redis.call('HGET', nodes_key, node)
local known = entry and number(string.match(entry, '^(%d+) ')) or 0
local incarnation = math.max(known, number(ARGV[4])) + 1
if incarnation > LARGEST or (not entry and redis.call('HLEN', nodes_key) >= number(ARGV[6])) then
	return { 'ERR', dataset }
end

entry = text(incarnation) .. ' ' .. ARGV[7]
lease_write(entry, ARGV[5])
redis.call('HSET', nodes_key, node, entry)
return { 'OK', dataset, text(incarnation) }
