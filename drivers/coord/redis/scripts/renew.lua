-- RENEW. ARGV[4] since which revision, [5] lease in ms, [6] limit of records
-- Answers OK dataset revision more {name, rest of its lease in ms, entry, ...}
-- {eight fields a record, ...}; a rest of 0: it is dead
-- | FENCED dataset

local entry = entry_entitled()
if not entry then
	return { 'FENCED', dataset }
end
if redis.call('PEXPIRE', lease_key, ARGV[5]) == 0 then
	lease_write(entry, ARGV[5])
end

local nodes = {}
local known = redis.call('HGETALL', nodes_key)
for i = 1, #known, 2 do
	local rest_ms = redis.call('PTTL', prefix .. 'node:' .. known[i])
	nodes[#nodes + 1] = known[i]
	nodes[#nodes + 1] = rest_ms >= 0 and text(math.max(rest_ms, 1)) or '0'
	nodes[#nodes + 1] = known[i + 1]
end

local limit = number(ARGV[6])
local changed = redis.call('ZRANGEBYSCORE', revisions_key, '(' .. ARGV[4], '+inf',
	'LIMIT', 0, limit + 1)
local records = {}
for i = 1, math.min(#changed, limit) do
	local record = record_read(changed[i])
	if record[4] then
		for field = 1, 8 do
			records[#records + 1] = record[field] or ''
		end
	else -- somebody has deleted the device's key
		redis.call('ZREM', revisions_key, changed[i])
	end
end
return { 'OK', dataset, revision, #changed > limit and '1' or '0', nodes, records }
