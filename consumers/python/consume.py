"""Print COUNT events of a status or result topic, one JSON line each.

usage: consume.py BOOTSTRAP SCHEMA TOPIC COUNT [TIMEOUT_SECONDS]

SCHEMA is the registry's URL (http://user:password@host:port/path), or, where the bridge runs without a registry, the file
status_changed.avsc or identification_result.avsc. Exits 1 when a record does not decode, 2 when fewer than COUNT came in time.
"""
import datetime
import io
import json
import sys
import time
import uuid

import fastavro
from confluent_kafka import Consumer, KafkaException
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext


def from_registry(url, topic):
    """Decode content-type `application/avro; framing=confluent`: 0x00, the schema's id in 4 bytes, the datum."""
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": url}))
    return lambda data: deserialize(data, SerializationContext(topic, MessageField.VALUE))


def from_file(path):
    """Decode content-type `application/avro; framing=single-object`: 0xC3 0x01, the schema's fingerprint, the datum."""
    schema = fastavro.schema.load_schema(path)
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    head = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))

    def decode(data):
        if data[:10] != head:
            raise ValueError(f"written with another schema: {data[:10].hex()}")
        return fastavro.schemaless_reader(io.BytesIO(data[10:]), schema, None)

    return decode


def plain(value):
    """Make a decoded value fit for JSON: times as RFC 3339 in milliseconds, bytes as hex."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: plain(v) for name, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value


def line(record, decode):
    """One record as a line of JSON."""
    written = datetime.datetime.fromtimestamp(record.timestamp()[1] / 1000, datetime.timezone.utc)
    return json.dumps({
        "partition": record.partition(), "offset": record.offset(), "timestamp": plain(written),
        "key": record.key().decode(),
        "headers": {name: v.decode() for name, v in record.headers() or []},
        "value": plain(decode(record.value())),
    }, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def main():
    """Read from the topic's beginning, without leaving a committed offset behind."""
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    bootstrap, schema, topic, count = sys.argv[1:4] + [int(sys.argv[4])]
    deadline = time.monotonic() + float(sys.argv[5] if len(sys.argv) > 5 else 30)
    decode = from_registry(schema, topic) if "://" in schema else from_file(schema)
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": f"consume-{uuid.uuid4()}",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",  # librdkafka's default, written out: events of an aborted transaction are none
    })
    consumer.subscribe([topic])
    try:
        while count and time.monotonic() < deadline:
            record = consumer.poll(0.5)
            if record is None:
                continue
            if record.error():
                raise KafkaException(record.error())
            print(line(record, decode), flush=True)
            count -= 1
    finally:
        consumer.close()
    if count:
        print(f"{count} records missing", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
