-- CHANGE. ARGV[4] device, [5] expected revision, [6] seen term, [7] seen revision,
-- [8] 1: a new term, [9] limit of devices; the record: [10] term, [11] active, [12] master,
-- [13] its incarnation, [14] backups, [15] insync
-- Answers OK dataset {record} | CONFLICT dataset {record or nothing} | FENCED dataset
-- | ERR dataset

local device = ARGV[4]
local stored = record_read(device)
local exists = stored[4] and true or false
local stored_term, stored_active, stored_revision = 0, 0, 0
if exists then
	stored_term, stored_active = number(stored[2]), number(stored[3])
	stored_revision = number(stored[4])
end
local largest = number(revision)

if not entry_entitled() then
	return { 'FENCED', dataset }
end

local new_term, active = ARGV[8] == '1', number(ARGV[11])
if stored_revision ~= number(ARGV[5])
	or not new_term and (not exists or stored_term ~= number(ARGV[10])) then
	for field = 1, 8 do
		stored[field] = stored[field] or ''
	end
	return { 'CONFLICT', dataset, exists and stored or {} }
end

local term = stored_term
if new_term then
	term = math.max(stored_term, number(ARGV[6])) + 1
end
largest = math.max(largest, number(ARGV[7])) + 1
if active > term or active < stored_active or term > LARGEST or largest > LARGEST
	or not exists and redis.call('ZCARD', revisions_key) >= number(ARGV[9]) then
	return { 'ERR', dataset }
end

redis.call('HSET', device_key(device), 'term', text(term), 'active', text(active),
	'revision', text(largest), 'master', ARGV[12], 'master_incarnation', ARGV[13],
	'backups', ARGV[14], 'insync', ARGV[15])
redis.call('ZADD', revisions_key, text(largest), device)
redis.call('HSET', counters_key, 'revision', text(largest))
redis.call('PUBLISH', channel,
	'device ' .. device .. ' term ' .. text(term) .. ' revision ' .. text(largest))
return { 'OK', dataset, { device, text(term), text(active), text(largest),
	ARGV[12], ARGV[13], ARGV[14], ARGV[15] } }
