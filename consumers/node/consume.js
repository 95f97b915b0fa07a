/*
 * Prints COUNT events of a status or result topic, one JSON line each.
 *
 * Arguments: BOOTSTRAP SCHEMA TOPIC COUNT [TIMEOUT_SECONDS]. SCHEMA is the registry's URL
 * (http://user:password@host:port/path), or, where the bridge runs without a registry, the file status_changed.avsc or
 * identification_result.avsc. Exits 1 when a record does not decode, 2 when fewer than COUNT came in time.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { SchemaRegistry } from '@kafkajs/confluent-schema-registry'
import avsc from 'avsc'
import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'

// kafkajs reads only gzip by itself; events are compressed with Snappy.
kafkajs.CompressionCodecs[kafkajs.CompressionTypes.Snappy] = snappy

// avsc knows no logical types by itself: without this one, times are numbers.
class TimestampMillis extends avsc.types.LogicalType {
  _fromValue(millis) {
    return new Date(millis)
  }
}
const avro = { logicalTypes: { 'timestamp-millis': TimestampMillis } }

/** Decodes content-type `application/avro; framing=confluent`: 0x00, the schema's id in 4 bytes, the datum. */
function fromRegistry(url) {
  const { origin, pathname, username, password } = new URL(url)
  const auth = username && { username: decodeURIComponent(username), password: decodeURIComponent(password) }
  const registry = new SchemaRegistry({ host: origin + pathname, ...(auth && { auth }) }, { AVRO: avro })
  return (data) => registry.decode(data)
}

/** Decodes content-type `application/avro; framing=single-object`: 0xC3 0x01, the schema's fingerprint, the datum. */
function fromFile(path) {
  const type = avsc.Type.forSchema(JSON.parse(readFileSync(path, 'utf8')), avro)
  const head = Buffer.from('c3010000000000000000', 'hex')
  head.writeBigUInt64LE(crc64(JSON.stringify(type.schema())), 2) // schema() is the Parsing Canonical Form
  return (data) => {
    if (!data.subarray(0, 10).equals(head)) {
      throw new Error(`written with another schema: ${data.subarray(0, 10).toString('hex')}`)
    }
    return type.fromBuffer(data.subarray(10))
  }
}

/** The CRC-64-AVRO of a text, which avsc does not have. */
function crc64(text) {
  const empty = 0xc15d213aa4d7a795n
  let crc = empty
  for (const byte of Buffer.from(text)) {
    crc ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1n) ^ (crc & 1n ? empty : 0n)
  }
  return crc
}

/** Makes a decoded value fit for JSON: times as RFC 3339 in milliseconds, bytes as hex. */
function plain(value) {
  if (value instanceof Date) return value.toISOString()
  if (Buffer.isBuffer(value)) return value.toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, plain(value[name])]))
}

/** One record as a line of JSON. */
async function line(partition, record, decode) {
  const headers = Object.entries(record.headers).map(([name, value]) => [name, value.toString()])
  return JSON.stringify(plain({
    partition,
    offset: Number(record.offset),
    timestamp: new Date(Number(record.timestamp)),
    key: record.key.toString(),
    headers: Object.fromEntries(headers),
    value: await decode(record.value),
  }))
}

/** Reads from the topic's beginning, without leaving a committed offset behind, and gives how many records are missing. */
async function consume(bootstrap, schema, topic, count, seconds) {
  if (count === 0) return 0
  const decode = schema.includes('://') ? fromRegistry(schema) : fromFile(schema)
  const kafka = new kafkajs.Kafka({ brokers: bootstrap.split(','), logLevel: kafkajs.logLevel.ERROR })
  const consumer = kafka.consumer({
    groupId: `consume-${randomUUID()}`,
    allowAutoTopicCreation: false,
    maxWaitTimeInMs: 500,
    readUncommitted: false, // kafkajs' default, written out: events of an aborted transaction are none
  })
  let missing = count
  const read = new Promise((resolve, reject) => {
    setTimeout(resolve, seconds * 1000)
    consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || reject(payload.error))
    const eachMessage = async ({ partition, message }) => {
      if (missing === 0) return
      try {
        console.log(await line(partition, message, decode))
      } catch (e) { // kafkajs would try the record again
        throw new kafkajs.KafkaJSNonRetriableError(`${topic}/${partition}@${message.offset}: ${e.message}`, { cause: e })
      }
      if (--missing === 0) resolve()
    }
    consumer.connect()
      .then(() => consumer.subscribe({ topics: [topic], fromBeginning: true }))
      .then(() => consumer.run({ autoCommit: false, eachMessage }))
      .catch(reject)
  })
  try {
    await read
  } finally {
    await consumer.disconnect()
  }
  return missing
}

const [bootstrap, schema, topic, count, seconds = '30'] = process.argv.slice(2)
if (!(Number.isInteger(Number(count)) && Number(count) >= 0 && Number(seconds) > 0)) {
  console.error('usage: consume.js BOOTSTRAP SCHEMA TOPIC COUNT [TIMEOUT_SECONDS]')
  process.exit(1)
}
let status = 1
try {
  const missing = await consume(bootstrap, schema, topic, Number(count), Number(seconds))
  if (missing > 0) console.error(`${missing} records missing`)
  status = missing > 0 ? 2 : 0
} catch (e) {
  console.error(e)
}
process.stdout.write('', () => process.exit(status)) // only behind the lines that a full pipe has held up
